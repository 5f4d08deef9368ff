// Partitions that are added and verified, in every state, and requests that wait for the end of the transaction before.
#include "coordination/transaction/partition_additions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "coordination/transaction/transaction_world.h"

namespace weir::coordination {
namespace {

using enum TransactionState;
using ::testing::ElementsAre;

class PartitionAdditionsTest : public ::testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::kError); }
  void TearDown() override { set_log_level(LogLevel::kInfo); }

  // A request that may wait for 100 ms.
  Pending<AddPartitionsResult> park(Identity by, const std::string& topic = "u", int32_t wait_ms = 100) {
    return world_.ask_add(by, partitions(topic, {0}), kTwo, wait_ms);
  }
  static TransactionPartitions of(const std::vector<TopicPartition>& some) { return TransactionPartitions(some); }

  TransactionWorld world_;
  const Identity producer_{5, 3};
};

TEST_F(PartitionAdditionsTest, TheFirstPartitionBeginsATransaction) {
  for (const TransactionState state : {kEmpty, kCompleteCommit, kCompleteAbort}) {
    for (const TransactionVersion version : {kZero, kTwo}) {
      TransactionMetadata before = metadata(state, producer_);
      before.client_version = kZero;
      world_.load(before);
      world_.advance(1'000);
      EXPECT_EQ(world_.add(producer_, {{"u", 7}, {"t", 2}, {"t", 0}, {"u", 7}}, version), ErrorCode::kNone);
      TransactionMetadata expected = before;
      expected.state = kOngoing;
      expected.partitions = of({{"t", 0}, {"t", 2}, {"u", 7}});
      expected.start_ms = expected.last_update_ms = world_.now.wall_ms;
      expected.client_version = version;
      EXPECT_EQ(world_.written(), expected);
      EXPECT_EQ(expected.partitions.count(), 3u);
    }
  }
}

// A commit would pass over it.
TEST_F(PartitionAdditionsTest, APartitionThatTheImageDoesNotHaveIsAskedForAgain) {
  world_.load(metadata(kOngoing, producer_, {{"t", 1}}));
  world_.set_gone({"u"});
  EXPECT_EQ(world_.add(producer_, {{"t", 0}, {"u", 0}}), ErrorCode::kCoordinatorLoadInProgress);
  EXPECT_EQ(world_.add(producer_, {{"t", 0}}), ErrorCode::kNone);
  EXPECT_EQ(world_.written().partitions, of({{"t", 0}, {"t", 1}}));
}

TEST_F(PartitionAdditionsTest, FurtherOnesJoinThoseThatAreThere) {
  world_.load(metadata(kOngoing, producer_, {{"t", 1}}));
  world_.advance(1'000);
  const int64_t start_ms = world_.written().start_ms;
  EXPECT_EQ(world_.add(producer_, {{"t", 0}, {"t", 1}, {"s", 4}}), ErrorCode::kNone);
  EXPECT_EQ(world_.written().partitions, of({{"s", 4}, {"t", 0}, {"t", 1}}));
  EXPECT_EQ(world_.written().start_ms, start_ms);
  EXPECT_EQ(world_.written().last_update_ms, world_.now.wall_ms);
  const size_t records = world_.log.size();
  EXPECT_EQ(world_.add(producer_, {{"t", 1}, {"s", 4}}), ErrorCode::kNone);
  EXPECT_EQ(world_.log.size(), records) << "nothing new";
}

TEST_F(PartitionAdditionsTest, ATransactionMayBeginWithoutAPartition) {
  world_.load(metadata(kEmpty, producer_));
  EXPECT_EQ(world_.add(producer_, {}), ErrorCode::kNone);
  EXPECT_EQ(world_.written().state, kOngoing);
  EXPECT_EQ(world_.end(producer_), (Identity{5, 4}));
  EXPECT_EQ(world_.written().state, kCompleteCommit);
}

TEST_F(PartitionAdditionsTest, OnlyThePresentProducerAdds) {
  EXPECT_EQ(world_.add(producer_, {{"t", 0}}, kTwo, ""), ErrorCode::kInvalidRequest);
  EXPECT_EQ(world_.add(producer_, {{"t", 0}}, kTwo, "nobody"), ErrorCode::kInvalidProducerIdMapping);
  for (const TransactionState state : {kEmpty, kOngoing, kCompleteCommit, kCompleteAbort}) {
    world_.load(metadata(state, producer_));
    const size_t records = world_.log.size();
    EXPECT_EQ(world_.add({6, 3}, {{"t", 0}}), ErrorCode::kInvalidProducerIdMapping);
    EXPECT_EQ(world_.add({5, 2}, {{"t", 0}}), ErrorCode::kProducerFenced);
    EXPECT_EQ(world_.add({5, 4}, {{"t", 0}}), ErrorCode::kProducerFenced);
    EXPECT_EQ(world_.log.size(), records);
  }
}

TEST_F(PartitionAdditionsTest, WhileATransactionIsEndedNothingIsAdded) {
  for (const TransactionState state : {kPrepareCommit, kPrepareAbort}) {
    TransactionMetadata ending = metadata(state, producer_, {{"t", 0}});
    ending.next_producer_id = 9;
    world_.load(ending);
    const size_t records = world_.log.size();
    for (const Identity by : {producer_, Identity{5, 2}, Identity{9, 0}, Identity{1, 1}}) {
      EXPECT_EQ(world_.add(by, {{"t", 0}}), ErrorCode::kConcurrentTransactions);
    }
    EXPECT_EQ(world_.log.size(), records);
  }
}

// --- waiting --------------------------------------------------------------------------------------------------------

TEST_F(PartitionAdditionsTest, TheNextTransactionWaitsForTheEndOfTheOneBefore) {
  world_.load(metadata(kPrepareCommit, producer_, {{"t", 0}}));
  const auto first = park(producer_, "u");
  const auto second = park(producer_, "v");
  EXPECT_FALSE(first.answered());
  EXPECT_EQ(world_.state->totals().parked, 2u);
  world_.advance(99);
  world_.answer_markers();
  EXPECT_EQ(first->error, ErrorCode::kNone);
  EXPECT_EQ(second->error, ErrorCode::kNone);
  EXPECT_EQ(world_.written(2).state, kCompleteCommit);
  EXPECT_EQ(world_.written().state, kOngoing);
  EXPECT_EQ(world_.written().partitions, of({{"u", 0}, {"v", 0}}));
  EXPECT_EQ(world_.written().start_ms, world_.now.wall_ms);
  EXPECT_EQ(world_.state->totals().parked, 0u);
  world_.advance(1'000);
  EXPECT_EQ(world_.describe().state, "Ongoing") << "nothing is left of the wait";
}

TEST_F(PartitionAdditionsTest, AlsoUnderTheProducerIdThatComesWithTheEnd) {
  TransactionMetadata ending = metadata(kPrepareCommit, {5, 32'767}, {{"t", 0}});
  ending.next_producer_id = 9;
  world_.load(ending);
  const auto next = park({9, 0});
  world_.answer_markers();
  EXPECT_EQ(next->error, ErrorCode::kNone);
  EXPECT_EQ(world_.written().producer_id, 9);
  EXPECT_EQ(world_.written().state, kOngoing);
}

TEST_F(PartitionAdditionsTest, WhoeverWaitedIsJudgedAnew) {
  world_.load(metadata(kPrepareCommit, producer_, {{"t", 0}}));
  const auto zombie = park({5, 2});
  const auto other = park({6, 0});
  world_.answer_markers();
  EXPECT_EQ(zombie->error, ErrorCode::kProducerFenced);
  EXPECT_EQ(other->error, ErrorCode::kInvalidProducerIdMapping);
  EXPECT_EQ(world_.describe().state, "CompleteCommit");
}

TEST_F(PartitionAdditionsTest, TheWaitEnds) {
  world_.load(metadata(kPrepareCommit, producer_, {{"t", 0}}));
  const auto longer = park(producer_, "u", 100);
  const auto shorter = park(producer_, "v", 30);
  world_.advance(29);
  EXPECT_FALSE(shorter.answered());
  world_.advance(1);
  EXPECT_EQ(shorter->error, ErrorCode::kConcurrentTransactions);
  EXPECT_FALSE(longer.answered());
  world_.advance(70);
  EXPECT_EQ(longer->error, ErrorCode::kConcurrentTransactions);
  EXPECT_EQ(world_.state->totals().parked, 0u);
  world_.answer_markers();
  EXPECT_EQ(world_.describe().state, "CompleteCommit");
}

TEST_F(PartitionAdditionsTest, ThoseThatWaitForOneAreBounded) {
  world_.load(metadata(kPrepareCommit, producer_, {{"t", 0}}));
  for (size_t i = 0; i < PartitionAdditions::kParkedPerId; ++i) EXPECT_FALSE(park(producer_).answered());
  EXPECT_EQ(park(producer_)->error, ErrorCode::kConcurrentTransactions);
}

TEST_F(PartitionAdditionsTest, AllThatWaitAreBounded) {
  constexpr size_t kIds = PartitionAdditions::kParkedMax / PartitionAdditions::kParkedPerId;
  for (size_t i = 0; i <= kIds; ++i) {
    world_.put(metadata(kPrepareCommit, producer_, {{"t", 0}}), kTwo, "x" + std::to_string(i));
  }
  world_.restart();
  const auto park_at = [&](size_t i) { return world_.ask_add(producer_, {{"t", 0}}, kTwo, 100, "x" + std::to_string(i)); };
  for (size_t i = 0; i < PartitionAdditions::kParkedMax; ++i) ASSERT_FALSE(park_at(i % kIds).answered());
  EXPECT_EQ(park_at(kIds)->error, ErrorCode::kConcurrentTransactions);
}

TEST_F(PartitionAdditionsTest, AnAbandonedStateAnswersWhoeverWaits) {
  world_.load(metadata(kPrepareCommit, producer_, {{"t", 0}}));
  const auto waiting = park(producer_);
  world_.step([&](Effects& effects) { world_.state->abandon(ErrorCode::kNotCoordinator, effects); });
  EXPECT_EQ(waiting->error, ErrorCode::kNotCoordinator);
}

// --- verification ---------------------------------------------------------------------------------------------------

TEST_F(PartitionAdditionsTest, OnlyPartitionsOfAnOpenTransactionAreVerified) {
  world_.load(metadata(kOngoing, producer_, {{"t", 1}, {"u", 0}}));
  const size_t records = world_.log.size();
  EXPECT_THAT(
      world_.verify(producer_, {{"t", 1}, {"t", 0}, {"u", 0}, {"v", 1}}),
      ElementsAre(ErrorCode::kNone, ErrorCode::kTransactionAbortable, ErrorCode::kNone, ErrorCode::kTransactionAbortable));
  for (const TransactionState state : {kEmpty, kCompleteCommit, kCompleteAbort}) {
    world_.load(metadata(state, producer_));
    EXPECT_THAT(world_.verify(producer_, {{"t", 1}}), ElementsAre(ErrorCode::kTransactionAbortable));
  }
  for (const TransactionState state : {kPrepareCommit, kPrepareAbort}) {
    world_.load(metadata(state, producer_, {{"t", 1}}));
    EXPECT_THAT(world_.verify(producer_, {{"t", 1}}), ElementsAre(ErrorCode::kConcurrentTransactions));
  }
  EXPECT_EQ(world_.log.size(), records + 5) << "nothing was written, but to load it";
}

TEST_F(PartitionAdditionsTest, OnlyThePresentProducerIsVerified) {
  EXPECT_THAT(world_.verify(producer_, {{"t", 1}}, ""), ElementsAre(ErrorCode::kInvalidRequest));
  EXPECT_THAT(world_.verify(producer_, {{"t", 1}}), ElementsAre(ErrorCode::kInvalidProducerIdMapping));
  for (const TransactionState state : {kOngoing, kPrepareCommit}) {
    world_.load(metadata(state, producer_, {{"t", 1}}));
    EXPECT_THAT(world_.verify({6, 3}, {{"t", 1}}), ElementsAre(ErrorCode::kInvalidProducerIdMapping));
    EXPECT_THAT(world_.verify({5, 2}, {{"t", 1}}), ElementsAre(ErrorCode::kProducerFenced));
    EXPECT_THAT(world_.verify({5, 4}, {{"t", 1}}), ElementsAre(ErrorCode::kProducerFenced));
  }
}

// --- bounds ---------------------------------------------------------------------------------------------------------

TEST_F(PartitionAdditionsTest, ATransactionHasSoManyPartitionsAndNoMore) {
  TransactionConfig config;
  config.partitions_max = 3;
  TransactionWorld world(config);
  world.load(metadata(kEmpty, producer_));
  EXPECT_EQ(world.add(producer_, partitions("t", {0, 1, 2, 3})), ErrorCode::kTransactionAbortable);
  EXPECT_EQ(world.describe().state, "Empty");
  EXPECT_EQ(world.add(producer_, partitions("t", {0, 1, 2, 1})), ErrorCode::kNone);
  EXPECT_EQ(world.add(producer_, {{"u", 0}}), ErrorCode::kTransactionAbortable);
  EXPECT_EQ(world.add(producer_, {{"t", 2}}), ErrorCode::kNone);
  EXPECT_EQ(world.end(producer_, false), (Identity{5, 4}));
}

TEST_F(PartitionAdditionsTest, AtTheBoundOfMemoryOpenTransactionsDoNotGrow) {
  world_.load(metadata(kOngoing, producer_, {{"t", 1}}));
  world_.use_memory(8);
  EXPECT_EQ(world_.add(producer_, {{"t", 0}}), ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(world_.add(producer_, {{"t", 1}}), ErrorCode::kNone);
  world_.use_memory(7);
  EXPECT_EQ(world_.add(producer_, {{"t", 0}}), ErrorCode::kNone);
}

TEST_F(PartitionAdditionsTest, WhatFitsIntoARecordFitsIntoThatOfTheEnd) {
  world_.load(metadata(kOngoing, {5, 32'766}, {{"t", 1}}));
  world_.init({}, "y");  // so that ids are ready
  world_.state->limit_record(1'000);
  int32_t index = 2;
  while (world_.add({5, 32'766}, {{"t", index}}) == ErrorCode::kNone) ++index;
  EXPECT_GT(index, 150);
  EXPECT_EQ(world_.add({5, 32'766}, {{"t", index}}), ErrorCode::kTransactionAbortable);
  const size_t count = TransactionPartitions(world_.describe().topics).count();
  EXPECT_EQ(count, static_cast<size_t>(index - 1)) << "what did not fit changed nothing";
  EXPECT_EQ(world_.ask_end({5, 32'766}, true)->error, ErrorCode::kNone);
}

TEST(TransactionPartitionsTest, AreInOrderAndOnce) {
  const TransactionPartitions some(
      std::vector<TransactionPartitions::Topic>{{"u", {3, 1, 3}}, {"t", {}}, {"u", {2}}, {"s", {0}}});
  EXPECT_EQ(some.topics(), (std::vector<TransactionPartitions::Topic>{{"s", {0}}, {"u", {1, 2, 3}}}));
  EXPECT_EQ(some.count(), 4u);
  EXPECT_TRUE(some.contains("u", 2));
  EXPECT_FALSE(some.contains("u", 0));
  EXPECT_FALSE(some.contains("t", 0));
  const TransactionPartitions more = some.united_with(TransactionPartitions({{"t", 5}, {"u", 0}}));
  EXPECT_EQ(more.topics(), (std::vector<TransactionPartitions::Topic>{{"s", {0}}, {"t", {5}}, {"u", {0, 1, 2, 3}}}));
  EXPECT_TRUE(more.contains(some));
  EXPECT_FALSE(some.contains(more));
  EXPECT_GT(more.memory_bytes(), some.memory_bytes());
}

}  // namespace
}  // namespace weir::coordination
