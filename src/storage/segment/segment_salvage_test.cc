#include "storage/segment/segment_salvage.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "storage/segment/stored_batch.h"
#include "storage/segment/test_batches.h"

namespace weir::storage::testing {
namespace {

const PartitionId kId = partition_id(1);

class SegmentSalvageTest : public ::testing::Test {
 protected:
  // Ten batches of three records from `first` on.
  void fill(int64_t first = 0, int batches = 10) {
    next_ = first_ = first;
    const CheckpointPartition checkpoint = make_checkpoint(kId, next_, batches, {.records = 3});
    file_ = bytes_of(checkpoint.batches);
    for (const auto& batch : checkpoint.batches) sizes_.push_back(batch.bytes.size);
  }
  size_t begin_of(size_t batch) const {
    size_t at = 0;
    for (size_t i = 0; i < batch; ++i) at += sizes_[i];
    return at;
  }
  void flip(size_t at) { file_[at] ^= 0x41; }
  SegmentSalvage run() { return salvage_segment(file_, {.base_offset = first_, .next_offset = next_}); }
  static std::vector<int64_t> offsets(const SegmentSalvage& salvaged) {
    std::vector<int64_t> found;
    for (const Bytes batch : salvaged.batches) found.push_back(BatchHeader::parse(batch.data()).base_offset);
    return found;
  }
  std::vector<int64_t> all_but(std::vector<size_t> gone) const {
    std::vector<int64_t> expected;
    for (size_t i = 0; i < sizes_.size(); ++i) {
      if (std::ranges::find(gone, i) == gone.end()) expected.push_back(first_ + 3 * static_cast<int64_t>(i));
    }
    return expected;
  }

  std::vector<uint8_t> file_;
  std::vector<size_t> sizes_;
  int64_t first_ = 0, next_ = 0;
};

TEST_F(SegmentSalvageTest, AllOfAnIntactFile) {
  fill(50);
  const auto salvaged = run();
  EXPECT_EQ(offsets(salvaged), all_but({}));
  EXPECT_TRUE(salvaged.lost.empty());
  EXPECT_EQ(salvaged.mended + salvaged.damaged_bytes, 0u);
}

TEST_F(SegmentSalvageTest, ADamagedBatchCostsItsOwnRecordsOnly) {
  for (const size_t batch : {size_t{0}, size_t{4}, size_t{9}}) {
    fill();
    flip(begin_of(batch) + 100);
    const auto salvaged = run();
    EXPECT_EQ(offsets(salvaged), all_but({batch})) << batch;
    const auto first = static_cast<int64_t>(3 * batch);
    EXPECT_EQ(salvaged.lost, (std::vector<OffsetRange>{{first, first + 3}})) << batch;
    EXPECT_EQ(salvaged.damaged_bytes, sizes_[batch]);
    sizes_.clear();
  }
}

// Base offset, length and magic follow from the neighbours.
TEST_F(SegmentSalvageTest, WhatFollowsFromTheNeighboursIsMended) {
  for (const size_t batch : {size_t{0}, size_t{4}, size_t{9}}) {
    for (const size_t at : {size_t{0}, size_t{3}, size_t{7}, size_t{8}, size_t{11}, size_t{16}}) {
      fill(1000);
      const std::vector<uint8_t> before = file_;
      flip(begin_of(batch) + at);
      const auto salvaged = run();
      EXPECT_EQ(offsets(salvaged), all_but({})) << batch << " at " << at;
      EXPECT_EQ(salvaged.mended, 1u) << batch << " at " << at;
      EXPECT_TRUE(salvaged.lost.empty());
      EXPECT_EQ(file_, before);
      sizes_.clear();
    }
  }
}

TEST_F(SegmentSalvageTest, TheLeaderEpochFollowsFromTheHistory) {
  fill(1000);
  const std::vector<uint8_t> before = file_;
  flip(begin_of(4) + 12);
  flip(begin_of(6) + 15);
  flip(begin_of(6) + 7);  // and its offset
  const std::vector<EpochStart> history = {{0, 1000}};
  const auto salvaged = salvage_segment(file_, {.base_offset = first_, .next_offset = next_, .epochs = history});
  EXPECT_EQ(offsets(salvaged), all_but({}));
  EXPECT_EQ(salvaged.mended, 2u) << "batches";
  EXPECT_EQ(file_, before);
}

TEST_F(SegmentSalvageTest, ALeaderEpochThatNoHistoryTellsIsTakenAsItIs) {
  fill(1000);
  flip(begin_of(4) + 12);
  const std::vector<uint8_t> before = file_;
  const std::vector<EpochStart> later = {{0, 1015}};
  for (const std::vector<EpochStart>& history : {std::vector<EpochStart>(), later}) {
    const auto salvaged = salvage_segment(file_, {.base_offset = first_, .next_offset = next_, .epochs = history});
    EXPECT_EQ(salvaged.mended, 0u);
    EXPECT_EQ(file_, before);
  }
}

TEST_F(SegmentSalvageTest, AnOffsetThatLooksPossibleIsNotBelieved) {
  fill();
  file_[begin_of(5) + 7] += 6;  // 15 becomes 21, the seventh batch's
  EXPECT_EQ(offsets(run()), all_but({}));
}

TEST_F(SegmentSalvageTest, ZerosAndACutCostWhatTheyCover) {
  fill();
  std::fill(file_.begin() + static_cast<ptrdiff_t>(begin_of(2) + 50), file_.begin() + static_cast<ptrdiff_t>(begin_of(5) + 5), 0);
  file_.resize(begin_of(9) + 20);
  const auto salvaged = run();
  EXPECT_EQ(offsets(salvaged), all_but({2, 3, 4, 9})) << "of the sixth only zeros were overwritten";
  EXPECT_EQ(salvaged.lost, (std::vector<OffsetRange>{{6, 15}, {27, 30}}));
}

TEST_F(SegmentSalvageTest, ABatchInsideARecordIsNoBatchOfTheLog) {
  // The value of the second batch is an intact batch with an offset that is possible there.
  const CheckpointPartition::Batch inner = make_batch(kId, {.base_offset = 1});
  protocol::RecordBatchBuilder builder({.base_offset = 1, .partition_leader_epoch = 0});
  builder.append(1000, std::nullopt, Bytes(inner.bytes.data, inner.bytes.size));
  const Bytes outer = builder.finish();
  const std::vector<CheckpointPartition::Batch> around = {make_batch(kId, {.base_offset = 0}),
                                                          make_batch(kId, {.base_offset = 2})};
  for (const size_t at : {size_t{8}, size_t{16}, size_t{20}, size_t{40}}) {
    file_.assign(around[0].bytes.data, around[0].bytes.data + around[0].bytes.size);
    const size_t second = file_.size();
    file_.insert(file_.end(), outer.begin(), outer.end());
    file_.insert(file_.end(), around[1].bytes.data, around[1].bytes.data + around[1].bytes.size);
    file_[second + at] ^= 0x41;
    const auto salvaged = salvage_segment(file_, {.base_offset = 0, .next_offset = 3});
    const bool mended = at < 17;
    EXPECT_EQ(offsets(salvaged), mended ? (std::vector<int64_t>{0, 1, 2}) : (std::vector<int64_t>{0, 2})) << at;
    if (mended) {
      EXPECT_EQ(salvaged.batches[1].size(), outer.size());
    }
  }
}

TEST_F(SegmentSalvageTest, WithoutTheLastOffsetTheFileIsTakenToItsEnd) {
  fill();
  flip(begin_of(9) + 100);
  const auto salvaged = salvage_segment(file_, {.base_offset = first_});
  EXPECT_EQ(offsets(salvaged), all_but({9}));
  EXPECT_TRUE(salvaged.lost.empty());
}

TEST_F(SegmentSalvageTest, AGapIsALossIfCompactionMadeNone) {
  fill();
  flip(begin_of(7) + 100);
  file_.erase(file_.begin() + static_cast<ptrdiff_t>(begin_of(3)), file_.begin() + static_cast<ptrdiff_t>(begin_of(5)));
  const std::vector<uint8_t> damaged = file_;
  EXPECT_EQ(run().lost, (std::vector<OffsetRange>{{21, 24}}));
  file_ = damaged;
  const auto salvaged = salvage_segment(file_, {.base_offset = first_, .next_offset = next_, .contiguous = true});
  EXPECT_EQ(salvaged.lost, (std::vector<OffsetRange>{{9, 15}, {21, 24}}));
  EXPECT_EQ(offsets(salvaged), all_but({3, 4, 7}));
}

TEST_F(SegmentSalvageTest, NothingIsTakenOfAFileThatBeginsWithAnotherOffset) {
  fill(12);  // of another partition
  const auto salvaged = salvage_segment(file_, {.base_offset = 9, .next_offset = 60, .contiguous = true});
  EXPECT_NE(salvaged.foreign, "");
  EXPECT_TRUE(salvaged.batches.empty());
  EXPECT_EQ(salvaged.lost, (std::vector<OffsetRange>{{9, 60}}));
  // A damaged offset does not fit the batch behind it.
  sizes_.clear();
  fill(9);
  file_[7] += 2;
  const auto damaged = salvage_segment(file_, {.base_offset = 9, .next_offset = next_, .contiguous = true});
  EXPECT_EQ(damaged.foreign, "");
  EXPECT_EQ(offsets(damaged), all_but({}));
  // Compaction may have taken the first batches.
  sizes_.clear();
  fill(12);
  EXPECT_EQ(offsets(salvage_segment(file_, {.base_offset = 9, .next_offset = next_})), all_but({}));
}

TEST_F(SegmentSalvageTest, NothingIsTakenOfAFileThatBeginsWithAnotherTime) {
  fill();
  const int64_t time = BatchHeader::parse(file_.data()).max_timestamp;
  file_.resize(begin_of(9));
  const auto ours = salvage_segment(file_, {.base_offset = 0, .next_offset = 30, .first_timestamp = time});
  EXPECT_EQ(offsets(ours), all_but({9}));
  const auto others = salvage_segment(file_, {.base_offset = 0, .next_offset = 30, .first_timestamp = time + 1});
  EXPECT_NE(others.foreign, "");
  EXPECT_TRUE(others.batches.empty());
  EXPECT_EQ(others.lost, (std::vector<OffsetRange>{{0, 30}}));
}

// Whatever is damaged, each batch that comes back was written.
TEST_F(SegmentSalvageTest, NothingIsInvented) {
  std::mt19937 chance(7);
  for (int round = 0; round < 300; ++round) {
    sizes_.clear();
    fill();
    const std::vector<uint8_t> before = file_;
    const int changes = 1 + static_cast<int>(chance() % 8);
    for (int i = 0; i < changes; ++i) file_[chance() % file_.size()] = static_cast<uint8_t>(chance());
    const auto salvaged = salvage_segment(file_, {.base_offset = first_, .next_offset = next_, .contiguous = round % 2 == 0});
    for (const Bytes batch : salvaged.batches) {
      const auto header = BatchHeader::parse(batch.data());
      ASSERT_EQ(header.base_offset % 3, 0);
      const size_t at = begin_of(static_cast<size_t>(header.base_offset / 3));
      ASSERT_EQ(batch.size(), sizes_[static_cast<size_t>(header.base_offset / 3)]);
      // No history tells the leader epoch here.
      ASSERT_TRUE(std::equal(batch.begin() + 16, batch.end(), before.begin() + static_cast<ptrdiff_t>(at) + 16)) << round;
    }
    int64_t lost = 0;
    for (const OffsetRange& range : salvaged.lost) lost += range.next - range.first;
    ASSERT_EQ(lost + 3 * static_cast<int64_t>(salvaged.batches.size()), 30) << round;
  }
}

}  // namespace
}  // namespace weir::storage::testing
