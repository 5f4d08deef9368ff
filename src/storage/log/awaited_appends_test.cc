// Appends that wait for answers: whom they hold up, and what becomes of them whenever the answer comes.
#include "storage/log/awaited_appends.h"

#include "protocol/compressed_batch_fixture.h"
#include "storage/log/log_shard_fixture.h"

namespace weir::storage {
namespace {

using protocol::ErrorCode;

class AwaitedAppendsTest : public LogShardTest {
 protected:
  // Appends what waits until the test answers: answers_to_[n] is that of the nth one.
  void append_awaiting(Slice records, size_t stages = 1) {
    std::vector<AppendStage> asked;
    for (size_t i = 0; i < stages; ++i) {
      asked.push_back([this](AwaitedAppend&, Function<void(AppendResult)> answered) { asked_.push_back(std::move(answered)); });
    }
    shard_->append(
        *partition_, std::move(records), true, [this](AppendResult result) { answers_.push_back(std::move(result)); },
        std::move(asked));
  }
  void answer(size_t n, ErrorCode error = ErrorCode::kNone) {
    AppendResult result;
    result.error = error;
    asked_.at(n)(std::move(result));
  }
  Slice of(int64_t producer, int32_t sequence) { return idempotent(sequence, 1, producer); }
  // Who appended, in the order of the log.
  std::vector<int64_t> producers() const {
    std::vector<int64_t> all;
    for (const BatchInfo& info : wal_->info_) all.push_back(info.producer_id);
    return all;
  }

  std::vector<Function<void(AppendResult)>> asked_;
};

TEST_F(AwaitedAppendsTest, LaterOnesOfTheSameProducerWaitAndOthersPass) {
  append_awaiting(of(1, 0));
  append(of(2, 0));
  append(of(1, 1));
  append(batch(1));
  EXPECT_EQ(producers(), (std::vector<int64_t>{2, -1}));
  answer(0);
  EXPECT_EQ(producers(), (std::vector<int64_t>{2, -1, 1, 1}));
  append(of(1, 2));
  EXPECT_EQ(producers().size(), 5u);
  wal_->complete();
  for (const AppendResult& each : answers_) EXPECT_EQ(each.error, ErrorCode::kNone) << each.message;
  EXPECT_EQ(answers_.size(), 5u);
}

TEST_F(AwaitedAppendsTest, BatchesWithoutAProducerAreOfOne) {
  append_awaiting(batch(1));
  append(batch(2));
  append(of(1, 0));
  EXPECT_EQ(producers(), (std::vector<int64_t>{1}));
  answer(0);
  ASSERT_EQ(wal_->info_.size(), 3u);
  EXPECT_EQ(wal_->info_[1].last_offset_delta, 0);
  EXPECT_EQ(wal_->info_[2].last_offset_delta, 1);
}

TEST_F(AwaitedAppendsTest, AnswersMayComeInAnyOrder) {
  append_awaiting(of(1, 0));
  append_awaiting(of(1, 1));
  append_awaiting(of(1, 2));
  answer(2);
  answer(1);
  EXPECT_TRUE(producers().empty());
  answer(0);
  wal_->complete();
  ASSERT_EQ(answers_.size(), 3u);
  for (const AppendResult& each : answers_) EXPECT_EQ(each.error, ErrorCode::kNone) << each.message;
}

TEST_F(AwaitedAppendsTest, ARefusalIsTheAnswerAndTheNextOnesTurnComes) {
  append_awaiting(batch(1));
  append(batch(1));
  answer(0, ErrorCode::kInvalidTxnState);
  wal_->complete();
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_EQ(answers_[0].error, ErrorCode::kInvalidTxnState);
  EXPECT_EQ(answers_[0].base_offset, -1);
  EXPECT_EQ(answers_[1].error, ErrorCode::kNone);
  EXPECT_EQ(answers_[1].base_offset, 0);
}

TEST_F(AwaitedAppendsTest, AllStagesHaveToAnswerAndTheFirstRefusalIsTold) {
  append_awaiting(batch(1), 3);
  ASSERT_EQ(asked_.size(), 3u) << "asked at once";
  answer(2, ErrorCode::kNotEnoughReplicas);
  answer(0);
  EXPECT_TRUE(answers_.empty());
  answer(1, ErrorCode::kInvalidTxnState);
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].error, ErrorCode::kInvalidTxnState);
}

TEST_F(AwaitedAppendsTest, AnAnswerMayComeAtOnce) {
  std::vector<AppendStage> stages;
  stages.push_back([](AwaitedAppend&, Function<void(AppendResult)> answered) { answered({}); });
  shard_->append(*partition_, batch(1), true, [this](AppendResult r) { answers_.push_back(std::move(r)); }, std::move(stages));
  EXPECT_EQ(wal_->info_.size(), 1u);
}

// The pool opens its records meanwhile.
TEST_F(AwaitedAppendsTest, ACompressedBatchAwaitsThePoolAndItsOtherAnswer) {
  const auto compressed = [&] {
    return Slice::copy_of(protocol::compressed_batch(batch(1).bytes(), protocol::CompressionType::kGzip));
  };
  append_awaiting(compressed());
  append(batch(1));
  world_.run();
  EXPECT_TRUE(wal_->info_.empty());
  answer(0);
  EXPECT_EQ(wal_->info_.size(), 2u);
  append_awaiting(compressed());
  answer(1);
  EXPECT_EQ(wal_->info_.size(), 2u);
  EXPECT_TRUE(world_.run_until([&] { return wal_->info_.size() == 3; }));
}

TEST_F(AwaitedAppendsTest, AClientThatAppendsWhenItIsAnsweredComesLast) {
  std::vector<AppendStage> stages;
  stages.push_back([this](AwaitedAppend&, Function<void(AppendResult)> answered) { asked_.push_back(std::move(answered)); });
  shard_->append(*partition_, batch(1), true, [this](AppendResult) { append(batch(3)); }, std::move(stages));
  append(batch(2));
  answer(0, ErrorCode::kInvalidTxnState);
  ASSERT_EQ(wal_->info_.size(), 2u);
  EXPECT_EQ(wal_->info_[0].last_offset_delta, 1);
  EXPECT_EQ(wal_->info_[1].last_offset_delta, 2);
}

TEST_F(AwaitedAppendsTest, APartitionDroppedMeanwhileIsUnknown) {
  append_awaiting(batch(1));
  append(batch(1));
  shard_->drop(partition_->id());
  world_.advance(runtime::kSecond);
  EXPECT_TRUE(answers_.empty());
  answer(0);
  ASSERT_EQ(answers_.size(), 2u);
  for (const AppendResult& each : answers_) EXPECT_EQ(each.error, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_TRUE(wal_->info_.empty());
}

TEST_F(AwaitedAppendsTest, AShardThatFailedMeanwhileRefuses) {
  append_awaiting(batch(1));
  wal_->break_down();
  EXPECT_TRUE(answers_.empty());
  answer(0);
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].error, ErrorCode::kKafkaStorageError);
}

TEST_F(AwaitedAppendsTest, AnAnswerThatComesAfterTheShardIsGoneIsNobodys) {
  append_awaiting(batch(1));
  shard_.reset();
  answer(0);
  EXPECT_TRUE(answers_.empty());
}

}  // namespace
}  // namespace weir::storage
