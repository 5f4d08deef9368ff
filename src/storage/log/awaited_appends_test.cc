// Appends that wait for answers: whom they hold up, and what becomes of them whenever the answer comes.
#include "storage/log/awaited_appends.h"

#include "protocol/compressed_batch_fixture.h"
#include "storage/log/log_shard_fixture.h"

namespace weir::storage {
namespace {

using protocol::ErrorCode;

class AwaitedAppendsTest : public LogShardTest {
 protected:
  // What it appends waits until the test answers: asked_[n] is the nth answer.
  void append_awaiting(Slice records, size_t stages = 1) {
    std::vector<AppendStage> asked;
    for (size_t i = 0; i < stages; ++i) {
      asked.push_back([this](AwaitedAppend&, Function<void(AppendResult)> answered) { asked_.push_back(std::move(answered)); });
    }
    pass(std::move(records), taken(), std::move(asked));
  }
  void append(Slice records) { pass(std::move(records), taken(), {}); }
  Function<void(AppendResult)> taken() {
    return [this](AppendResult result) { answers_.push_back(std::move(result)); };
  }
  void pass(Slice records, Function<void(AppendResult)> done, std::vector<AppendStage> stages) {
    const bool waits = !stages.empty() || awaited_.in_line(*partition_, records.bytes());
    AwaitedAppend append{std::move(records), AppendFrom::kClient, {}, std::move(done)};
    if (waits) awaited_.add(*partition_, std::move(append), std::move(stages));
    else take(*partition_, std::move(append));
  }
  void take(Partition& partition, AwaitedAppend append) {
    if (append.refusal.error != ErrorCode::kNone) return append.done(std::move(append.refusal));
    shard_->append(partition, std::move(append.records), true, std::move(append.done));
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

  AwaitedAppends awaited_{[this](Partition& partition, AwaitedAppend append) { take(partition, std::move(append)); }};
  std::vector<Function<void(AppendResult)>> asked_;
};

// Batches that wait for the coordinator of their transaction.
class VerifiedAppendsTest : public LogShardTest {
 protected:
  Slice first(int32_t sequence = 0) { return transactional(1, sequence); }
  void append_awaiting(Slice records) {
    const auto header = protocol::BatchHeader::parse(records.data);
    guard_ = shard_->check_producer(*partition_, {header.producer_id, header.producer_epoch, header.base_sequence, 0}).guard;
    append(std::move(records), true, {.guard = guard_});
  }
  void answer() { shard_->verified(guard_, {}); }
  GuardSerial guard_ = kNoGuard;
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
  pass(batch(1), taken(), std::move(stages));
  EXPECT_EQ(wal_->info_.size(), 1u);
}

TEST_F(AwaitedAppendsTest, AClientThatAppendsWhenItIsAnsweredComesLast) {
  std::vector<AppendStage> stages;
  stages.push_back([this](AwaitedAppend&, Function<void(AppendResult)> answered) { asked_.push_back(std::move(answered)); });
  pass(batch(1), [this](AppendResult) { append(batch(3)); }, std::move(stages));
  append(batch(2));
  answer(0, ErrorCode::kInvalidTxnState);
  ASSERT_EQ(wal_->info_.size(), 2u);
  EXPECT_EQ(wal_->info_[0].last_offset_delta, 1);
  EXPECT_EQ(wal_->info_[1].last_offset_delta, 2);
}

// The pool opens its records meanwhile.
TEST_F(VerifiedAppendsTest, ACompressedBatchAwaitsThePoolAndItsOtherAnswer) {
  const auto compressed = [&](int32_t sequence) {
    return Slice::copy_of(protocol::compressed_batch(first(sequence).bytes(), protocol::CompressionType::kGzip));
  };
  append_awaiting(compressed(0));
  append(first(1), true, {});
  world_.run();
  EXPECT_TRUE(wal_->info_.empty());
  answer();
  EXPECT_EQ(wal_->info_.size(), 2u);
  append(marker(1, true), false);
  append_awaiting(compressed(2));
  answer();
  EXPECT_EQ(wal_->info_.size(), 3u);
  EXPECT_TRUE(world_.run_until([&] { return wal_->info_.size() == 4; }));
}

TEST_F(VerifiedAppendsTest, APartitionDroppedMeanwhileIsUnknown) {
  append_awaiting(first());
  append(first(1), true, {});
  shard_->drop(partition_->id());
  EXPECT_EQ(shard_->guards(), 0u);
  world_.advance(runtime::kSecond);
  answer();
  ASSERT_EQ(answers_.size(), 2u);
  for (const AppendResult& each : answers_) EXPECT_EQ(each.error, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_TRUE(wal_->info_.empty());
}

TEST_F(VerifiedAppendsTest, AShardThatFailedMeanwhileRefuses) {
  append_awaiting(first());
  wal_->break_down();
  EXPECT_TRUE(answers_.empty());
  answer();
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].error, ErrorCode::kKafkaStorageError);
}

TEST_F(VerifiedAppendsTest, WhatStillWaitsWhenTheShardGoesIsNobodys) {
  append_awaiting(first());
  shard_.reset();
  EXPECT_TRUE(answers_.empty());
}

}  // namespace
}  // namespace weir::storage
