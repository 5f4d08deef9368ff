#include "storage/segment/checkpoint_plan.h"

#include <gtest/gtest.h>

#include "storage/segment/test_batches.h"

namespace weir::storage {
namespace {

using namespace storage::testing;

constexpr int64_t kNow = 1'000'000;

class CheckpointPlanTest : public ::testing::Test {
 protected:
  CheckpointPlanTest() { manifest_.partition = id_; }
  CheckpointPlan plan(CheckpointPartition checkpoint) {
    auto planned = plan_checkpoint(manifest_, checkpoint, pending_, spacing_);
    EXPECT_TRUE(planned) << planned.error().message;
    if (!planned) return {};
    manifest_ = planned->after;
    pending_ = planned->pending;
    return std::move(*planned);
  }

  const PartitionId id_ = partition_id(1);
  PartitionManifest manifest_;
  PendingIndex pending_;
  IndexSpacing spacing_;
  int64_t end_ = 0;
};

TEST_F(CheckpointPlanTest, AppendsToTheActiveSegment) {
  plan(make_checkpoint(id_, end_, 2));
  const uint64_t before = manifest_.segments[0].length;
  const CheckpointPlan second = plan(make_checkpoint(id_, end_, 3, {.timestamp = 5000}));
  ASSERT_EQ(second.writes.size(), 1u);
  EXPECT_FALSE(second.writes[0].created);
  EXPECT_EQ(second.writes[0].position, before);
  EXPECT_EQ(second.writes[0].batch_count, 3u);
  EXPECT_EQ(second.first_changed, 0u);
  const SegmentInfo& segment = second.after.segments.at(0);
  EXPECT_EQ(segment.length, before + second.writes[0].bytes);
  EXPECT_EQ(segment.next_offset, 5);
  EXPECT_EQ(segment.first_timestamp, 1000);
  EXPECT_EQ(segment.max_timestamp, 5002);
  EXPECT_EQ(segment.created_ms, kNow);
}

TEST_F(CheckpointPlanTest, RollsWhenABatchDoesNotFit) {
  auto checkpoint = make_checkpoint(id_, end_, 6, {.value_bytes = 400});
  checkpoint.segment_bytes = 2 * checkpoint.batches[0].bytes.size;
  const CheckpointPlan rolled = plan(std::move(checkpoint));
  ASSERT_EQ(rolled.writes.size(), 3u);
  EXPECT_EQ(rolled.writes[1].first_batch, 2u);
  EXPECT_TRUE(rolled.writes[1].created);
  EXPECT_EQ(rolled.after.segments[2].base_offset, 4);
  // A batch that is larger than a segment gets a segment of its own.
  auto large = make_checkpoint(id_, end_, 1, {.value_bytes = 5000});
  large.segment_bytes = 100;
  EXPECT_EQ(plan(std::move(large)).after.segments.size(), 4u);
}

TEST_F(CheckpointPlanTest, RollsByTheTimeOfRecordsOrElseOfTheClock) {
  auto first = make_checkpoint(id_, end_, 1, {.timestamp = 1000});
  plan(std::move(first));
  auto same = make_checkpoint(id_, end_, 1, {.timestamp = 1100, .appended_ms = kNow + 5000});
  same.segment_ms = 100;
  EXPECT_EQ(plan(std::move(same)).after.segments.size(), 1u);
  auto later = make_checkpoint(id_, end_, 1, {.timestamp = 1101});
  later.segment_ms = 100;
  EXPECT_EQ(plan(std::move(later)).after.segments.size(), 2u);
  // Without timestamps the segment's age counts.
  manifest_.segments.back().first_timestamp = kNoTimestamp;
  auto aged = make_checkpoint(id_, end_, 1, {.appended_ms = kNow + 100});
  aged.segment_ms = 100;
  EXPECT_EQ(plan(std::move(aged)).after.segments.size(), 2u);
  auto older = make_checkpoint(id_, end_, 1, {.appended_ms = kNow + 101});
  older.segment_ms = 100;
  EXPECT_EQ(plan(std::move(older)).after.segments.size(), 3u);
}

TEST_F(CheckpointPlanTest, ASegmentIsAsOldAsItsLastAppendAndNotAsItsCheckpoint) {
  plan(make_checkpoint(id_, end_, 1, {.appended_ms = 100}));
  plan(make_checkpoint(id_, end_, 1, {.appended_ms = 300}));
  const SegmentInfo segment = plan(make_checkpoint(id_, end_, 1, {.appended_ms = 200})).after.segments.at(0);
  EXPECT_EQ(segment.created_ms, 100);
  EXPECT_EQ(segment.modified_ms, 300);  // the clock went back
}

// Times are what records and rows say, however far apart.
TEST_F(CheckpointPlanTest, TimesWithoutEndAreFarApart) {
  EXPECT_EQ(ms_between(1, 3), 2);
  EXPECT_EQ(ms_between(INT64_MIN, 1), INT64_MAX);
  EXPECT_EQ(ms_between(INT64_MAX, -2), INT64_MIN);
  SegmentInfo active;
  active.length = 100;
  active.times_known = true;
  active.created_ms = INT64_MIN + 1;
  EXPECT_TRUE(must_roll(active, make_batch(id_, {.timestamp = -1}).info, 1 << 20, 1000));
}

TEST_F(CheckpointPlanTest, WhatHasUnknownTimesIsNotAppendedTo) {
  plan(make_checkpoint(id_, end_, 1));
  EXPECT_TRUE(manifest_.segments.back().times_known);
  manifest_.segments.back().times_known = false;
  EXPECT_EQ(plan(make_checkpoint(id_, end_, 1)).after.segments.size(), 2u);
  EXPECT_EQ(plan(make_checkpoint(id_, end_, 1)).after.segments.size(), 2u);
}

TEST_F(CheckpointPlanTest, RollsWhereRelativeOffsetsEnd) {
  plan(make_checkpoint(id_, end_, 1));
  end_ = INT64_C(0x7fffffff);
  EXPECT_EQ(plan(make_checkpoint(id_, end_, 1)).after.segments.size(), 1u);
  EXPECT_EQ(plan(make_checkpoint(id_, end_, 1)).after.segments.size(), 2u);
}

TEST_F(CheckpointPlanTest, LogStartDropsWholeSegmentsOnly) {
  auto checkpoint = make_checkpoint(id_, end_, 6, {.value_bytes = 400});
  checkpoint.segment_bytes = 1;
  plan(std::move(checkpoint));
  CheckpointPartition trim;
  trim.partition = id_;
  trim.log_start_offset = 3;
  const CheckpointPlan trimmed = plan(std::move(trim));
  EXPECT_EQ(trimmed.dropped, (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(trimmed.first_changed, trimmed.after.segments.size());
  // The log start never goes back.
  auto more = make_checkpoint(id_, end_, 1);
  more.log_start_offset = 1;
  EXPECT_EQ(plan(std::move(more)).after.log_start_offset, 3);
  // All segments may go. The next batch begins a new one.
  CheckpointPartition all;
  all.partition = id_;
  all.log_start_offset = end_;
  EXPECT_TRUE(plan(std::move(all)).after.segments.empty());
  const CheckpointPlan fresh = plan(make_checkpoint(id_, end_, 1));
  EXPECT_TRUE(fresh.writes.at(0).created);
  EXPECT_EQ(fresh.after.segments.at(0).base_offset, 7);
}

TEST_F(CheckpointPlanTest, IndexEntriesComeByDistanceAndAreWrittenByTheMegabyte) {
  spacing_ = {.entry_bytes = 1000, .write_bytes = 10'000};
  std::vector<IndexEntry> written;
  uint64_t length = 0;
  for (int i = 0; i < 60; ++i) {
    const CheckpointPlan one = plan(make_checkpoint(id_, end_, 1, {.value_bytes = 400, .timestamp = 1000 + i}));
    for (const IndexWrite& write : one.index_writes) {
      EXPECT_EQ(write.base_offset, 0);
      written.insert(written.end(), write.entries.begin(), write.entries.end());
    }
    length = one.after.segments[0].length;
  }
  ASSERT_GT(written.size(), 5u);
  const uint64_t batch = length / 60;
  for (size_t i = 0; i < written.size(); ++i) {
    EXPECT_EQ(written[i].position, written[i].base_offset * batch);
    EXPECT_EQ(written[i].max_timestamp_before, 1000 + written[i].base_offset - 1);
    EXPECT_GE(written[i].position - (i == 0 ? 0 : written[i - 1].position), 1000u);
  }
  EXPECT_LT(length - written.back().position, 12'000u);
  // A roll writes the waiting entries.
  auto rolling = make_checkpoint(id_, end_, 1);
  rolling.segment_bytes = 1;
  const std::vector<IndexEntry> waiting = pending_.entries;
  ASSERT_FALSE(waiting.empty());
  const CheckpointPlan rolled = plan(std::move(rolling));
  ASSERT_EQ(rolled.index_writes.size(), 1u);
  EXPECT_EQ(rolled.index_writes[0].entries, waiting);
}

TEST_F(CheckpointPlanTest, RefusesWhatContradictsItself) {
  plan(make_checkpoint(id_, end_, 2));
  const auto refused = [&](CheckpointPartition checkpoint) {
    auto planned = plan_checkpoint(manifest_, checkpoint, pending_, spacing_);
    return !planned && planned.error().code == ErrorCode::kInvalid;
  };
  int64_t back = 1;
  EXPECT_TRUE(refused(make_checkpoint(id_, back, 1)));
  auto wrong_size = make_checkpoint(id_, end_, 1);
  wrong_size.batches[0].info.size += 1;
  EXPECT_TRUE(refused(std::move(wrong_size)));
  auto wrong_bytes = make_checkpoint(id_, end_, 1);
  wrong_bytes.batches[0].bytes.size -= 1;
  EXPECT_TRUE(refused(std::move(wrong_bytes)));
  auto wrong_partition = make_checkpoint(id_, end_, 1);
  wrong_partition.batches[0].info.partition.index = 5;
  EXPECT_TRUE(refused(std::move(wrong_partition)));
  // A gap is fine: compaction and aborted appends leave them.
  end_ += 100;
  EXPECT_FALSE(refused(make_checkpoint(id_, end_, 1)));
}

}  // namespace
}  // namespace weir::storage
