// EndTxn in every state.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "coordination/transaction/transaction_world.h"

namespace weir::coordination {
namespace {

using enum TransactionState;

constexpr bool kCommits = true, kAborts = false;

class EndTransactionTest : public ::testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::kError); }
  void TearDown() override { set_log_level(LogLevel::kInfo); }

  // A transactional id in this state.
  void load(TransactionState state, Identity producer) {
    world_.load(metadata(state, producer, is_open(state) ? partitions("t", {0}) : std::vector<TopicPartition>()));
  }
  // The state does not change, and nothing is told but the error.
  void refused(Identity by, bool commit, TransactionVersion version, ErrorCode error) {
    SCOPED_TRACE(std::string(world_.describe().state) + (commit ? " commit " : " abort ") + std::to_string(by.id) + " " +
                 std::to_string(by.epoch));
    const size_t records = world_.log.size();
    const auto answer = world_.ask_end(by, commit, version);
    EXPECT_EQ(answer->error, error);
    EXPECT_EQ(answer->producer_id, -1);
    EXPECT_EQ(answer->producer_epoch, -1);
    EXPECT_EQ(world_.log.size(), records);
  }

  TransactionWorld world_;
};

TEST_F(EndTransactionTest, RefusesIdsThatAreNotKnown) {
  for (const TransactionVersion version : {kZero, kTwo}) {
    EXPECT_EQ(world_.ask_end({5, 3}, kCommits, version, "")->error, ErrorCode::kInvalidRequest);
    EXPECT_EQ(world_.ask_end({5, 3}, kCommits, version, "nobody")->error, ErrorCode::kInvalidProducerIdMapping);
  }
}

// --- version one and before -----------------------------------------------------------------------------------------

TEST_F(EndTransactionTest, OneOnlyThePresentProducerEnds) {
  for (const TransactionState state : {kEmpty, kOngoing, kPrepareCommit, kPrepareAbort, kCompleteCommit, kCompleteAbort}) {
    load(state, {5, 3});
    refused({6, 3}, kCommits, kZero, ErrorCode::kInvalidProducerIdMapping);
    refused({5, 2}, kCommits, kZero, ErrorCode::kProducerFenced);
    refused({5, 4}, kCommits, kZero, ErrorCode::kProducerFenced);
  }
}

TEST_F(EndTransactionTest, OneEndsAnOpenTransactionAndKeepsTheEpoch) {
  for (const bool commit : {kCommits, kAborts}) {
    load(kOngoing, {5, 32'766});
    const int64_t start_ms = world_.written().start_ms;
    world_.advance(1'000);
    const auto answer = world_.ask_end({5, 32'766}, commit, kZero);
    EXPECT_EQ(answer->error, ErrorCode::kNone);
    EXPECT_EQ(answer->producer_id, -1) << "a client of this version is not told";
    TransactionMetadata prepare = world_.written();
    EXPECT_EQ(prepare.state, commit ? kPrepareCommit : kPrepareAbort);
    EXPECT_EQ(prepare.producer_epoch, 32'766);
    EXPECT_EQ(prepare.next_producer_id, -1);
    EXPECT_EQ(prepare.client_version, kZero);
    EXPECT_EQ(prepare.start_ms, start_ms);
    EXPECT_EQ(prepare.last_update_ms, world_.now.wall_ms);
    EXPECT_EQ(prepare.partitions.count(), 1u);
    ASSERT_EQ(world_.posts.size(), 1u);
    const WriteMarker marker = TransactionWorld::marker_of(world_.posts[0]);
    EXPECT_EQ(marker.marker, (TransactionMarker{5, 32'766, TransactionWorld::kCoordinatorEpoch, commit}));
    EXPECT_EQ(marker.version, kZero);
    world_.answer_markers();
    prepare.state = commit ? kCompleteCommit : kCompleteAbort;
    prepare.partitions = {};
    EXPECT_EQ(world_.written(), prepare);
  }
}

TEST_F(EndTransactionTest, OneRepeatsAnEndAndNotAnother) {
  load(kCompleteCommit, {5, 3});
  refused({5, 3}, kCommits, kZero, ErrorCode::kNone);
  refused({5, 3}, kAborts, kZero, ErrorCode::kInvalidTxnState);
  load(kCompleteAbort, {5, 3});
  refused({5, 3}, kCommits, kZero, ErrorCode::kInvalidTxnState);
  refused({5, 3}, kAborts, kZero, ErrorCode::kNone);
  load(kEmpty, {5, 3});
  refused({5, 3}, kCommits, kZero, ErrorCode::kInvalidTxnState);
  refused({5, 3}, kAborts, kZero, ErrorCode::kInvalidTxnState);
}

TEST_F(EndTransactionTest, OneComesAgainWhileTheEndIsUnderWay) {
  for (const TransactionState state : {kPrepareCommit, kPrepareAbort}) {
    load(state, {5, 3});
    for (const bool commit : {kCommits, kAborts}) refused({5, 3}, commit, kZero, ErrorCode::kConcurrentTransactions);
  }
}

// --- version two ----------------------------------------------------------------------------------------------------

TEST_F(EndTransactionTest, TwoEndsAnOpenTransactionAndRaisesTheEpoch) {
  for (const bool commit : {kCommits, kAborts}) {
    load(kOngoing, {5, 3});
    const auto answer = world_.ask_end({5, 3}, commit);
    EXPECT_EQ(answer->error, ErrorCode::kNone);
    EXPECT_EQ((Identity{answer->producer_id, answer->producer_epoch}), (Identity{5, 4}));
    EXPECT_EQ(world_.written().state, commit ? kPrepareCommit : kPrepareAbort);
    EXPECT_EQ(world_.written().client_version, kTwo);
    ASSERT_EQ(world_.posts.size(), 1u);
    const WriteMarker marker = TransactionWorld::marker_of(world_.posts[0]);
    EXPECT_EQ(marker.marker, (TransactionMarker{5, 4, TransactionWorld::kCoordinatorEpoch, commit}));
    EXPECT_EQ(marker.version, kTwo);
    world_.answer_markers();
    EXPECT_EQ(world_.written().state, commit ? kCompleteCommit : kCompleteAbort);
    EXPECT_EQ(world_.written().producer_epoch, 4);
  }
}

TEST_F(EndTransactionTest, TwoOnlyThePresentEpochEndsAnOpenTransaction) {
  load(kOngoing, {5, 3});
  for (const bool commit : {kCommits, kAborts}) {
    refused({6, 3}, commit, kTwo, ErrorCode::kInvalidProducerIdMapping);
    refused({5, 2}, commit, kTwo, ErrorCode::kProducerFenced);
    refused({5, 4}, commit, kTwo, ErrorCode::kProducerFenced);
  }
}

// The producer may be told of the end before markers are written, and send the next one.
TEST_F(EndTransactionTest, TwoComesAgainWhileTheEndIsUnderWay) {
  for (const TransactionState state : {kPrepareCommit, kPrepareAbort}) {
    TransactionMetadata ending = metadata(state, {5, 32'767}, partitions("t", {0}));
    ending.next_producer_id = 9;
    world_.load(ending);
    for (const bool commit : {kCommits, kAborts}) {
      for (const Identity by : {Identity{5, 32'766}, Identity{5, 32'767}, Identity{9, 0}}) {
        refused(by, commit, kTwo, ErrorCode::kConcurrentTransactions);
      }
    }
  }
}

// Kafka's table, at TransactionCoordinator.endTransaction, but for a commit that finds its transaction aborted.
TEST_F(EndTransactionTest, TwoRepeatsAnEndByTheEpochBefore) {
  const auto repeated = [&](Identity by, bool commit, Identity expected) {
    const size_t records = world_.log.size();
    const auto answer = world_.ask_end(by, commit);
    EXPECT_EQ(answer->error, ErrorCode::kNone);
    EXPECT_EQ((Identity{answer->producer_id, answer->producer_epoch}), expected);
    EXPECT_EQ(world_.log.size(), records);
  };
  load(kEmpty, {5, 3});
  refused({5, 2}, kAborts, kTwo, ErrorCode::kProducerFenced);
  refused({5, 2}, kCommits, kTwo, ErrorCode::kProducerFenced);
  refused({5, 3}, kCommits, kTwo, ErrorCode::kInvalidTxnState);
  load(kCompleteAbort, {5, 3});
  repeated({5, 2}, kAborts, {5, 3});
  refused({5, 2}, kCommits, kTwo, ErrorCode::kProducerFenced);
  refused({5, 3}, kCommits, kTwo, ErrorCode::kInvalidTxnState);
  load(kCompleteCommit, {5, 3});
  refused({5, 2}, kAborts, kTwo, ErrorCode::kInvalidTxnState);
  repeated({5, 2}, kCommits, {5, 3});
  refused({5, 3}, kCommits, kTwo, ErrorCode::kInvalidTxnState);
  for (const TransactionState state : {kEmpty, kCompleteCommit, kCompleteAbort}) {
    load(state, {5, 3});
    refused({5, 1}, kAborts, kTwo, ErrorCode::kProducerFenced);
    refused({5, 4}, kAborts, kTwo, ErrorCode::kProducerFenced);
    refused({6, 2}, kAborts, kTwo, ErrorCode::kInvalidProducerIdMapping);
    refused({6, 3}, kCommits, kTwo, ErrorCode::kInvalidProducerIdMapping);
  }
}

TEST_F(EndTransactionTest, TwoAbortsWhatHasNoPartition) {
  for (const TransactionState state : {kEmpty, kCompleteCommit, kCompleteAbort}) {
    load(state, {5, 3});
    world_.advance(1'000);
    const size_t records = world_.log.size();
    EXPECT_EQ(world_.end({5, 3}, kAborts), (Identity{5, 4}));
    ASSERT_EQ(world_.log.size(), records + 2);
    EXPECT_EQ(world_.written(1).state, kPrepareAbort);
    EXPECT_EQ(world_.written(1).start_ms, world_.now.wall_ms);
    EXPECT_EQ(world_.written().state, kCompleteAbort);
    EXPECT_EQ(world_.written().producer_epoch, 4);
    EXPECT_EQ(world_.end({5, 3}, kAborts), (Identity{5, 4})) << "a retry";
    EXPECT_EQ(world_.log.size(), records + 2);
  }
}

TEST_F(EndTransactionTest, AZombieDoesNotEndTheNextTransaction) {
  const Identity first = world_.init();
  EXPECT_EQ(world_.add(first, partitions("t", {0})), ErrorCode::kNone);
  const Identity second = world_.end(first);
  EXPECT_EQ(world_.add(second, partitions("t", {0})), ErrorCode::kNone);
  for (const bool commit : {kCommits, kAborts}) refused(first, commit, kTwo, ErrorCode::kProducerFenced);
  EXPECT_EQ(world_.describe().state, "Ongoing");
}

// --- epochs that are used up ----------------------------------------------------------------------------------------

TEST_F(EndTransactionTest, TwoGivesAnotherIdWhenTheEpochsAreUsedUp) {
  for (const bool commit : {kCommits, kAborts}) {
    load(kOngoing, {5, 32'766});
    refused({5, 32'766}, commit, kTwo, ErrorCode::kCoordinatorLoadInProgress);  // no id is ready yet
    const auto answer = world_.ask_end({5, 32'766}, commit);
    EXPECT_EQ(answer->error, ErrorCode::kNone);
    const Identity next{answer->producer_id, answer->producer_epoch};
    EXPECT_GE(next.id, 1'000);
    EXPECT_EQ(next.epoch, 0);
    EXPECT_EQ(world_.written().producer_id, 5);
    EXPECT_EQ(world_.written().producer_epoch, 32'767);
    EXPECT_EQ(world_.written().next_producer_id, next.id);
    EXPECT_EQ(TransactionWorld::marker_of(world_.posts[0]).marker,
              (TransactionMarker{5, 32'767, TransactionWorld::kCoordinatorEpoch, commit}));
    world_.answer_markers();
    EXPECT_EQ(world_.written().producer_id, next.id);
    EXPECT_EQ(world_.written().producer_epoch, 0);
    EXPECT_EQ(world_.written().previous_producer_id, 5);
    EXPECT_EQ(world_.written().next_producer_id, -1);
    const auto repeated = world_.ask_end({5, 32'766}, commit);
    EXPECT_EQ(repeated->error, ErrorCode::kNone);
    EXPECT_EQ((Identity{repeated->producer_id, repeated->producer_epoch}), next);
    refused({5, 32'766}, !commit, kTwo, commit ? ErrorCode::kInvalidTxnState : ErrorCode::kProducerFenced);
    refused({5, 32'765}, commit, kTwo, ErrorCode::kInvalidProducerIdMapping);
    EXPECT_EQ(world_.init({5, 32'766}), next) << "also a retry of the producer's way to raise its epoch";
    EXPECT_EQ(world_.add(next, partitions("t", {0})), ErrorCode::kNone);
    refused({5, 32'766}, commit, kTwo, ErrorCode::kInvalidProducerIdMapping);
  }
}

TEST_F(EndTransactionTest, TheNextIdIsKeptThroughARestart) {
  load(kOngoing, {5, 32'766});
  refused({5, 32'766}, kCommits, kTwo, ErrorCode::kCoordinatorLoadInProgress);
  const auto answer = world_.ask_end({5, 32'766}, kCommits);
  ASSERT_EQ(answer->error, ErrorCode::kNone);
  world_.restart();
  world_.answer_markers();
  EXPECT_EQ(world_.written().producer_id, answer->producer_id);
  EXPECT_EQ(world_.written().producer_epoch, 0);
  EXPECT_EQ(world_.written().previous_producer_id, 5);
}

TEST_F(EndTransactionTest, TwoAbortsWhatHasNoPartitionWithTheLastEpoch) {
  load(kCompleteCommit, {5, 32'766});
  refused({5, 32'766}, kAborts, kTwo, ErrorCode::kCoordinatorLoadInProgress);
  const Identity next = world_.end({5, 32'766}, kAborts);
  EXPECT_NE(next.id, 5);
  EXPECT_EQ(next.epoch, 0);
  EXPECT_EQ(world_.written().producer_id, next.id);
  EXPECT_EQ(world_.end({5, 32'766}, kAborts), next) << "a retry";
}

// Records of level zero cannot hold what a client of version two needs at the end of its epochs; the answer says what is stored.
TEST_F(EndTransactionTest, AtLevelZeroTheAnswerIsWhatTheLogKeeps) {
  world_.level.set(kZero);
  world_.load(metadata(kOngoing, {5, 32'766}, partitions("t", {0})), kZero);
  refused({5, 32'766}, kCommits, kTwo, ErrorCode::kCoordinatorLoadInProgress);
  EXPECT_EQ(world_.end({5, 32'766}), (Identity{5, 32'767}));
  EXPECT_EQ(world_.written().producer_id, 5);
  EXPECT_EQ(world_.written().producer_epoch, 32'767);
}

TEST_F(EndTransactionTest, WhatDoesNotFitIntoARecordChangesNothing) {
  load(kOngoing, {5, 3});
  world_.state->limit_record(20);  // lowered since
  refused({5, 3}, kCommits, kTwo, ErrorCode::kUnknownServerError);
  world_.state->limit_record(1'000);
  EXPECT_EQ(world_.end({5, 3}), (Identity{5, 4}));
}

}  // namespace
}  // namespace weir::coordination
