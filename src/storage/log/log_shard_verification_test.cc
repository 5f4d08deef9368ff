// Batches that begin transactions: none is appended that the transaction's coordinator has not agreed to (KIP-890).
#include "storage/log/log_shard_fixture.h"

namespace weir::storage {
namespace {

using protocol::ErrorCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LogShardVerificationTest : public LogShardTest {
 protected:
  Verification check(int64_t producer, int16_t epoch, int32_t sequence, int16_t version = 1) {
    return shard_->check_producer(*partition_, {producer, epoch, sequence, version});
  }
  // As a client's request does.
  GuardSerial produce(int64_t producer, int32_t sequence, int16_t epoch = 0, int16_t version = 1) {
    const Verification verification = check(producer, epoch, sequence, version);
    append(transactional(producer, sequence, 1, epoch), true, {.guard = verification.guard});
    return verification.guard;
  }
  void verified(GuardSerial guard, ErrorCode error = ErrorCode::kNone) {
    AppendResult answer;
    answer.error = error;
    shard_->verified(guard, answer);
  }
  void end(int64_t producer, int16_t epoch, int16_t version) {
    shard_->append_marker(
        *partition_, {.producer_id = producer, .producer_epoch = epoch, .coordinator_epoch = 0, .transaction_version = version},
        [](const AppendResult& result) { EXPECT_EQ(result.error, ErrorCode::kNone) << result.message; });
  }
  // Of all that was appended so far.
  std::vector<ErrorCode> errors() {
    world_.advance(runtime::kMillisecond);
    wal_->complete();
    std::vector<ErrorCode> all;
    for (const AppendResult& answer : std::exchange(answers_, {})) all.push_back(answer.error);
    return all;
  }
};

TEST_F(LogShardVerificationTest, ATransactionBeginsWithAVerifiedGuardOnly) {
  append(transactional(1, 0), true, {});
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kInvalidTxnState));
  const GuardSerial guard = produce(1, 0);
  EXPECT_NE(guard, kNoGuard);
  EXPECT_EQ(partition_->log_end_offset(), 0) << "it waits";
  verified(guard);
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kNone));
  EXPECT_EQ(produce(1, 1), kNoGuard) << "its transaction is open";
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kNone));
  EXPECT_EQ(shard_->guards(), 0u);
  end(1, 0, 1);
  append(transactional(1, 2), true, {});
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kInvalidTxnState));
  EXPECT_NE(check(1, 0, 2).guard, guard);
}

TEST_F(LogShardVerificationTest, ARefusalOfTheCoordinatorIsTheAnswer) {
  verified(produce(1, 0), ErrorCode::kTransactionAbortable);
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kTransactionAbortable));
  EXPECT_EQ(shard_->guards(), 0u);
  EXPECT_EQ(partition_->log_end_offset(), 0);
}

TEST_F(LogShardVerificationTest, OneQuestionIsForAllBatchesThatWait) {
  const GuardSerial guard = produce(1, 0);
  EXPECT_FALSE(check(1, 0, 1).ask);
  EXPECT_EQ(produce(1, 1), guard);
  append(batch(1));
  verified(produce(2, 0));
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kNone, ErrorCode::kNone)) << "others pass";
  verified(guard);
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kNone, ErrorCode::kNone));
  EXPECT_EQ(wal_->info_[2].base_sequence, 0);
  EXPECT_EQ(wal_->info_[3].base_sequence, 1);
}

// It is retriable. Would the second batch be taken, the first one would be out of order for ever.
TEST_F(LogShardVerificationTest, NoBatchOvertakesALowerOneThatIsTriedAgain) {
  verified(produce(1, 0), ErrorCode::kNotEnoughReplicas);
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kNotEnoughReplicas));
  verified(produce(1, 1));
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kOutOfOrderSequenceNumber));
  verified(check(1, 0, 0).guard);
  produce(1, 0);
  produce(1, 1);
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kNone, ErrorCode::kNone));
}

// A client whose transaction was ended for it learns that it has to begin anew, not that it did something wrong.
TEST_F(LogShardVerificationTest, AStaleEpochIsToldBeforeAMissingTransaction) {
  verified(produce(1, 0));
  end(1, 1, 2);
  EXPECT_EQ(produce(1, 1), kNoGuard);
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kNone, ErrorCode::kInvalidProducerEpoch));
}

TEST_F(LogShardVerificationTest, ARefusalWaitsForWhatItRestsOn) {
  verified(produce(1, 0));
  end(1, 1, 2);
  append(transactional(1, 1), true, {});
  EXPECT_THAT(answers_, IsEmpty()) << "the marker may be lost yet";
  EXPECT_EQ(errors().size(), 2u);
}

// The answer was about the transaction that has ended.
TEST_F(LogShardVerificationTest, AMarkerOvertakesWhatWaitsAndEndsItsGuard) {
  const GuardSerial late = produce(1, 0);
  produce(1, 1);
  end(1, 0, 1);
  EXPECT_EQ(wal_->info_.size(), 1u);
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kInvalidTxnState, ErrorCode::kInvalidTxnState));
  const GuardSerial next = produce(1, 0);
  verified(late);
  EXPECT_EQ(partition_->log_end_offset(), 1);
  verified(next);
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kNone));
}

// The next transaction waits until the marker of the one before is written, and has the marker's epoch.
TEST_F(LogShardVerificationTest, AMarkerWithItsEpochLeavesTheGuardOfTheNextTransaction) {
  verified(produce(1, 0, 0, 2));
  const GuardSerial next = produce(1, 0, 1, 2);
  end(1, 1, 2);
  verified(next);
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kNone, ErrorCode::kNone));
  EXPECT_EQ(partition_->producers().find(1)->transaction_first_offset, 2);
}

TEST_F(LogShardVerificationTest, WithAnEpochForEachTransactionAnUnknownProducerBeginsWithZero) {
  verified(produce(1, 5, 0, 2));
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kOutOfOrderSequenceNumber));
  verified(produce(2, 5, 0, 1));
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kNone));
}

TEST_F(LogShardVerificationTest, ABatchOutsideOfTheOpenTransactionIsRefused) {
  verified(produce(1, 0));
  append(idempotent(1, 1, 1), true, {});
  append(idempotent(2, 1, 1), true, {});
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kNone, ErrorCode::kInvalidTxnState, ErrorCode::kOutOfOrderSequenceNumber));
}

// Also where its transaction has ended.
TEST_F(LogShardVerificationTest, ADuplicateIsAnsweredFirst) {
  verified(produce(1, 0));
  end(1, 0, 1);
  append(transactional(1, 0), true, {});
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kNone, ErrorCode::kNone));
  EXPECT_EQ(partition_->log_end_offset(), 2);
}

TEST_F(LogShardVerificationTest, ACoordinatorsBatchHasAGuardAndNoSequence) {
  const TransactionalBatch offsets{.producer_id = 1, .producer_epoch = 0};
  const auto may = [&](GuardSerial guard) { return shard_->check_batch(*partition_, offsets, guard); };
  EXPECT_EQ(may(kNoGuard), ErrorCode::kInvalidTxnState);
  const Verification verification = shard_->check_producer(*partition_, offsets);
  ErrorCode told = ErrorCode::kUnknownServerError;
  shard_->when_verified(verification.guard, [&](const AppendResult& answer) { told = answer.error; });
  EXPECT_EQ(may(verification.guard), ErrorCode::kInvalidTxnState);
  append(transactional(1, 0), false, {.guard = verification.guard});
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kInvalidTxnState)) << "it does not wait";
  verified(verification.guard);
  EXPECT_EQ(told, ErrorCode::kNone);
  EXPECT_EQ(may(verification.guard), ErrorCode::kNone);
  append(transactional(1, 0), false, {.guard = verification.guard});
  append(transactional(1, 0), false, {});
  EXPECT_EQ(may(kNoGuard), ErrorCode::kNone);
  EXPECT_THAT(errors(), ElementsAre(ErrorCode::kNone, ErrorCode::kNone));
  end(1, 1, 2);
  EXPECT_EQ(may(verification.guard), ErrorCode::kInvalidProducerEpoch);
}

TEST_F(LogShardVerificationTest, WhatWaitsIsRefusedWhenThePartitionIsReleased) {
  const GuardSerial guard = produce(1, 0);
  shard_->release(partition_->id(), [](const Result<PartitionSnapshot>&) {});
  EXPECT_EQ(shard_->guards(), 0u);
  world_.advance(runtime::kMillisecond);
  verified(guard);
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].error, ErrorCode::kNotLeaderOrFollower);
}

TEST_F(LogShardVerificationTest, NothingIsAskedForAPartitionThatTakesNothing) {
  append(batch(1));  // the release waits until it is durable
  shard_->release(partition_->id(), [](const Result<PartitionSnapshot>&) {});
  ASSERT_TRUE(partition_->of_shard.releasing);
  EXPECT_EQ(check(1, 0, 0).guard, kNoGuard);
}

TEST_F(LogShardVerificationTest, IdleGuardsGoWithIdleProducers) {
  shard_->set_producer_id_expiration_ms(1000);
  verified(check(1, 0, 0).guard, ErrorCode::kNotEnoughReplicas);
  shard_->run_retention();
  EXPECT_EQ(shard_->guards(), 1u);
  world_.advance(2 * runtime::kSecond);
  shard_->run_retention();
  EXPECT_EQ(shard_->guards(), 0u);
}

}  // namespace
}  // namespace weir::storage
