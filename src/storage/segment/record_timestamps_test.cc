// Batches whose deltas were damaged: no sum of theirs is believed, nor undefined.
#include "storage/segment/record_timestamps.h"

#include <gtest/gtest.h>

#include "storage/segment/test_batches.h"

namespace weir::storage {
namespace {

using namespace storage::testing;

// Three records with offsets from `base_offset` on, the header changed by `damage`.
template <typename Damage>
Slice damaged(int64_t base_offset, Damage damage) {
  auto made = make_batch(partition_id(1), {.base_offset = base_offset, .records = 3});
  auto header = BatchHeader::parse(made.bytes.data);
  damage(header);
  header.store(made.bytes.owner.data());
  return made.bytes;
}

void expect_corrupt(const Slice& batch, int64_t timestamp) {
  const auto found = first_record_in(batch.bytes(), timestamp, 1);
  ASSERT_FALSE(found) << (*found ? (**found).offset : -1);
  EXPECT_EQ(found.error().code, ErrorCode::kCorrupt);
  EXPECT_FALSE(max_timestamp_in(batch.bytes()));
}

TEST(RecordTimestamps, OfAnIntactBatch) {
  const Slice batch = damaged(10, [](BatchHeader&) {});
  const auto found = first_record_in(batch.bytes(), 1001, 0);
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((**found).offset, 11);
  EXPECT_EQ((**found).timestamp, 1001);
  EXPECT_EQ(max_timestamp_in(batch.bytes()).value_or(0), 1002);
}

TEST(RecordTimestamps, ATimeThatOverflowsIsDamage) {
  expect_corrupt(damaged(0, [](BatchHeader& header) { header.base_timestamp = INT64_MAX; }), INT64_MAX);
}

TEST(RecordTimestamps, WithLogAppendTimeNothingIsAdded) {
  const Slice batch = damaged(0, [](BatchHeader& header) {
    header.base_timestamp = INT64_MAX;
    header.attributes |= BatchHeader::kLogAppendTime;
  });
  const auto found = first_record_in(batch.bytes(), 1002, 1);
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((**found).offset, 1);
}

TEST(RecordTimestamps, AnOffsetBeyondTheBatchIsDamage) {
  expect_corrupt(damaged(0, [](BatchHeader& header) { header.last_offset_delta = 1; }), 1002);
  expect_corrupt(damaged(0, [](BatchHeader& header) { header.base_offset = INT64_MAX - 1; }), 1002);
}

}  // namespace
}  // namespace weir::storage
