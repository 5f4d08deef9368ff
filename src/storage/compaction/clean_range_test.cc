#include "storage/compaction/clean_range.h"

#include <gtest/gtest.h>

namespace weir::storage {
namespace {

constexpr int64_t kNow = 1'000'000;

// Segments of ten offsets and 100 bytes each. The last one is active.
PartitionManifest manifest(int count) {
  PartitionManifest made;
  for (int i = 0; i < count; ++i) {
    made.segments.push_back({i * 10, i * 10 + 10, 100, kNow - 500 + i, kNow - 500 + i, 0, 0, 0, kNow, true});
  }
  made.end_offset = count * 10;
  return made;
}

TEST(CleanRange, IsEmptyWhileTimesAreNotKnown) {
  PartitionManifest made = manifest(4);
  made.segments[1].times_known = false;
  EXPECT_EQ(clean_range(made, 40, {}, kNow).cleanable_bytes, 0u);
}

TEST(CleanRange, EndsBeforeTheActiveSegment) {
  const CleanRange range = clean_range(manifest(4), 40, {}, kNow);
  EXPECT_EQ(range.first_dirty_offset, 0);
  EXPECT_EQ(range.first_uncleanable_offset, 30);
  EXPECT_EQ(range.cleanable_bytes, 300u);
  EXPECT_EQ(range.clean_bytes, 0u);
  EXPECT_EQ(range.dirty_ratio(), 1);
  EXPECT_TRUE(range.due({.min_cleanable_dirty_ratio = 0.99}));
  EXPECT_FALSE(range.due({.min_cleanable_dirty_ratio = 1}));
  EXPECT_EQ(clean_range(manifest(1), 10, {}, kNow).cleanable_bytes, 0u);
  EXPECT_FALSE(clean_range(manifest(0), 0, {}, kNow).due({.min_cleanable_dirty_ratio = 0}));
}

TEST(CleanRange, EndsAtTheLastStableOffset) {
  EXPECT_EQ(clean_range(manifest(4), 20, {}, kNow).first_uncleanable_offset, 20);
  EXPECT_EQ(clean_range(manifest(4), 19, {}, kNow).first_uncleanable_offset, 10);
  EXPECT_EQ(clean_range(manifest(4), 9, {}, kNow).cleanable_bytes, 0u);
}

TEST(CleanRange, BeginsAtTheCheckpointOrTheLogStart) {
  PartitionManifest made = manifest(5);
  made.first_dirty_offset = 20;
  CleanRange range = clean_range(made, 50, {}, kNow);
  EXPECT_EQ(range.clean_bytes, 200u);
  EXPECT_EQ(range.cleanable_bytes, 200u);
  EXPECT_EQ(range.dirty_ratio(), 0.5);
  made.first_dirty_offset = 25;  // a segment that is clean in part counts as clean and as dirty, as in Kafka
  range = clean_range(made, 50, {}, kNow);
  EXPECT_EQ(range.clean_bytes, 300u);
  EXPECT_EQ(range.cleanable_bytes, 200u);
  made.log_start_offset = 33;
  EXPECT_EQ(clean_range(made, 50, {}, kNow).first_dirty_offset, 33);
  made.first_dirty_offset = 40;
  EXPECT_EQ(clean_range(made, 50, {}, kNow).cleanable_bytes, 0u);
}

TEST(CleanRange, YoungSegmentsAndAllBehindThemWait) {
  PartitionManifest made = manifest(5);
  made.segments[1].max_timestamp = kNow - 50;
  EXPECT_EQ(clean_range(made, 50, {.min_compaction_lag_ms = 50}, kNow).first_uncleanable_offset, 40);
  EXPECT_EQ(clean_range(made, 50, {.min_compaction_lag_ms = 51}, kNow).first_uncleanable_offset, 10);
}

TEST(CleanRange, OldDirtIsOverdue) {
  PartitionManifest made = manifest(5);
  EXPECT_TRUE(clean_range(made, 50, {.max_compaction_lag_ms = 499}, kNow).overdue);
  EXPECT_FALSE(clean_range(made, 50, {.max_compaction_lag_ms = 500}, kNow).overdue);
  made.first_dirty_offset = 10;
  EXPECT_FALSE(clean_range(made, 50, {.max_compaction_lag_ms = 499}, kNow).overdue);
  EXPECT_TRUE(clean_range(made, 50, {.max_compaction_lag_ms = 498}, kNow).overdue);
  EXPECT_FALSE(clean_range(made, 50, {.max_compaction_lag_ms = INT64_MAX}, kNow).overdue);
}

TEST(GroupSegments, ByBytesAndSpan) {
  PartitionManifest made = manifest(6);
  auto groups = group_segments(made.segments, 60, 250);
  ASSERT_EQ(groups.size(), 3u);  // two, two, one; the active one is not in it
  EXPECT_EQ(groups[2].size(), 1u);
  EXPECT_EQ(group_segments(made.segments, 21, 1000).size(), 1u);
  EXPECT_EQ(group_segments(made.segments, 21, 1000)[0].size(), 3u);
  EXPECT_EQ(group_segments(made.segments, 20, 1000)[0].size(), 2u);
  EXPECT_EQ(group_segments(made.segments, 60, 1).size(), 5u) << "one is always enough";
  made.segments[3].next_offset = made.segments[4].base_offset = int64_t{1} << 31;
  made.segments[4].next_offset = made.segments[5].base_offset = (int64_t{1} << 31) + 1;
  groups = group_segments(made.segments, INT64_MAX, 1 << 30);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].size(), 4u) << "up to 2^31 - 1 offsets";
}

}  // namespace
}  // namespace weir::storage
