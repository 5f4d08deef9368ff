#include "storage/log/pending_answers.h"

#include "storage/log/log_shard_fixture.h"

namespace weir::storage {
namespace {

class PendingAnswersTest : public ::testing::Test {
 protected:
  void add(ChunkNumber chunk, int64_t next_offset, int64_t base_offset) {
    AppendResult result;
    result.base_offset = base_offset;
    answers_.add(chunk, &partition_, next_offset, std::move(result), [this](AppendResult told) { told_.push_back(told); });
  }
  std::vector<int64_t> told() const {
    std::vector<int64_t> all;
    for (const AppendResult& result : told_) all.push_back(result.base_offset);
    return all;
  }

  FakeWal wal_;
  Partition partition_{PartitionId{Uuid::from_random(1, 2), 0}, LogConfig{}, 0};
  PendingAnswers answers_{wal_};
  std::vector<AppendResult> told_;
};

TEST_F(PendingAnswersTest, WhatDependsOnADurableChunkIsToldAtOnceIfNobodyWaits) {
  wal_.durable_ = 3;
  add(3, -1, 1);
  EXPECT_EQ(told(), (std::vector<int64_t>{1}));
  add(4, 10, 2);
  add(3, -1, 3);
  EXPECT_EQ(told(), (std::vector<int64_t>{1}));
  EXPECT_EQ(answers_.size(), 2u);
  answers_.complete(4);
  EXPECT_EQ(told(), (std::vector<int64_t>{1, 2, 3}));
}

TEST_F(PendingAnswersTest, TheHighWatermarkIsThatOfDurableChunks) {
  add(1, 5, 0);
  add(2, 9, 5);
  add(2, -1, 99);
  answers_.complete(1);
  EXPECT_EQ(partition_.high_watermark(), 5);
  EXPECT_EQ(told(), (std::vector<int64_t>{0}));
  EXPECT_TRUE(answers_.holds(partition_));
  answers_.complete(2);
  EXPECT_EQ(partition_.high_watermark(), 9);
  EXPECT_FALSE(answers_.holds(partition_));
}

TEST_F(PendingAnswersTest, FailureRefusesAllThatWait) {
  bool last = false;
  add(1, 5, 0);
  answers_.add_last([&] { last = true; });
  answers_.fail("pulled");
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0].error, protocol::ErrorCode::kKafkaStorageError);
  EXPECT_EQ(told_[0].base_offset, -1);
  EXPECT_EQ(told_[0].message, "pulled");
  EXPECT_TRUE(last);
  EXPECT_TRUE(answers_.empty());
  EXPECT_EQ(partition_.high_watermark(), 0);
}

TEST_F(PendingAnswersTest, TheLastOneIsToldAfterAllBefore) {
  bool at_once = false, later = false;
  answers_.add_last([&] { at_once = true; });
  EXPECT_TRUE(at_once);
  add(1, 5, 0);
  answers_.add_last([&] { later = told_.size() == 1; });
  answers_.complete(1);
  EXPECT_TRUE(later);
}

}  // namespace
}  // namespace weir::storage
