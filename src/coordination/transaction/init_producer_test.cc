// InitProducerId in every state.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "coordination/transaction/transaction_world.h"

namespace weir::coordination {
namespace {

using enum TransactionState;

class InitProducerTest : public ::testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::kError); }
  void TearDown() override { set_log_level(LogLevel::kInfo); }

  ErrorCode refused(Identity given = {}) {
    const auto answer = world_.ask_init(given);
    EXPECT_EQ(answer->producer_id, -1);
    EXPECT_EQ(answer->producer_epoch, -1);
    return answer->error;
  }
  void begin(Identity by) { EXPECT_EQ(world_.add(by, partitions("t", {0})), ErrorCode::kNone); }

  TransactionWorld world_;
};

TEST_F(InitProducerTest, ANewIdGetsANewProducer) {
  EXPECT_EQ(world_.init(), (Identity{1'000, 0}));
  TransactionMetadata expected;
  expected.producer_id = expected.previous_producer_id = 1'000;
  expected.producer_epoch = 0;
  expected.timeout_ms = 60'000;
  expected.last_update_ms = world_.now.wall_ms;
  EXPECT_EQ(world_.written(), expected);
  EXPECT_EQ(world_.init({}, "y"), (Identity{1'001, 0}));
}

TEST_F(InitProducerTest, AnIdThatExpiredIsNewWhateverTheProducerHas) { EXPECT_EQ(world_.init({77, 5}), (Identity{1'000, 0})); }

TEST_F(InitProducerTest, RefusesWhatMakesNoSense) {
  EXPECT_EQ(world_.ask_init({}, 60'000, "")->error, ErrorCode::kInvalidRequest);
  EXPECT_EQ(refused({7, -1}), ErrorCode::kInvalidRequest);
  EXPECT_EQ(refused({-1, 7}), ErrorCode::kInvalidRequest);
  for (const int32_t timeout_ms : {0, -1, 900'001}) {
    EXPECT_EQ(world_.ask_init({}, timeout_ms)->error, ErrorCode::kInvalidTransactionTimeout) << timeout_ms;
  }
  EXPECT_EQ(world_.ask_init({}, 900'000)->error, ErrorCode::kNone);
}

TEST_F(InitProducerTest, WithoutAnEpochThePresentOneIsFenced) {
  for (const TransactionState state : {kEmpty, kCompleteCommit, kCompleteAbort}) {
    SCOPED_TRACE(name_of(state));
    world_.load(metadata(state, {5, 3}));
    EXPECT_EQ(world_.init(), (Identity{5, 4}));
    EXPECT_EQ(world_.written().state, kEmpty);
    EXPECT_EQ(world_.written().start_ms, -1);
    EXPECT_EQ(world_.written().client_version, kTwo) << "as it was";
    EXPECT_EQ(refused({5, 3}), ErrorCode::kProducerFenced) << "not a retry: another one took over";
    EXPECT_EQ(world_.init({5, 4}), (Identity{5, 5}));
  }
}

TEST_F(InitProducerTest, AProducerRaisesItsEpochAndMayRepeatThat) {
  for (const TransactionState state : {kEmpty, kCompleteCommit, kCompleteAbort}) {
    SCOPED_TRACE(name_of(state));
    world_.load(metadata(state, {5, 3}));
    EXPECT_EQ(refused({5, 2}), ErrorCode::kProducerFenced);
    EXPECT_EQ(refused({5, 4}), ErrorCode::kProducerFenced);
    EXPECT_EQ(refused({6, 3}), ErrorCode::kProducerFenced);
    EXPECT_EQ(world_.init({5, 3}), (Identity{5, 4}));
    const auto again = world_.ask_init({5, 3}, 1'234);
    EXPECT_EQ((Identity{again->producer_id, again->producer_epoch}), (Identity{5, 4}));
    EXPECT_EQ(world_.written().timeout_ms, 1'234) << "it is noted all the same";
    world_.restart();
    EXPECT_EQ(refused({5, 3}), ErrorCode::kProducerFenced) << "the log does not say what the epoch before was, as in Kafka";
  }
}

TEST_F(InitProducerTest, AfterTheEndOfATransactionTheEpochBeforeIsARetry) {
  const Identity first = world_.init();
  begin(first);
  const Identity second = world_.end(first);
  EXPECT_EQ(second, (Identity{1'000, 1}));
  EXPECT_EQ(world_.init(first), second);
}

TEST_F(InitProducerTest, WhileATransactionIsEndedTheClientComesAgain) {
  for (const TransactionState state : {kPrepareCommit, kPrepareAbort}) {
    TransactionMetadata ending = metadata(state, {5, 32'767}, partitions("t", {0}));
    ending.next_producer_id = 9;
    world_.load(ending);
    const size_t records = world_.log.size();
    for (const Identity given : {Identity{}, Identity{5, 32'766}, Identity{9, 0}, Identity{1, 1}}) {
      EXPECT_EQ(refused(given), ErrorCode::kConcurrentTransactions);
    }
    EXPECT_EQ(world_.log.size(), records);
  }
}

// --- an open transaction --------------------------------------------------------------------------------------------

TEST_F(InitProducerTest, AnOpenTransactionIsAbortedWithOneBump) {
  world_.load(metadata(kOngoing, {5, 3}, partitions("t", {0})));
  EXPECT_EQ(refused(), ErrorCode::kConcurrentTransactions);
  const TransactionMetadata fenced = world_.written();
  EXPECT_EQ(fenced.state, kPrepareAbort);
  EXPECT_EQ(fenced.producer_epoch, 4);
  EXPECT_EQ(fenced.next_producer_id, -1);
  EXPECT_EQ(fenced.client_version, kTwo);
  EXPECT_EQ(refused(), ErrorCode::kConcurrentTransactions) << "and not again";
  ASSERT_EQ(world_.posts.size(), 1u);
  EXPECT_EQ(TransactionWorld::marker_of(world_.posts[0]).marker,
            (TransactionMarker{5, 4, TransactionWorld::kCoordinatorEpoch, false}));
  world_.answer_markers();
  EXPECT_EQ(world_.written().state, kCompleteAbort);
  EXPECT_EQ(world_.init(), (Identity{5, 5}));
}

TEST_F(InitProducerTest, BelowLevelTwoTheFenceIsOfAnEarlierVersion) {
  for (const TransactionVersion level : {kZero, TransactionVersion::kOne}) {
    world_.level.set(level);
    world_.load(metadata(kOngoing, {5, 3}, partitions("t", {0})));
    EXPECT_EQ(refused({5, 3}), ErrorCode::kConcurrentTransactions);
    EXPECT_EQ(world_.written().state, kPrepareAbort);
    EXPECT_EQ(world_.written().producer_epoch, 4);
    EXPECT_EQ(TransactionWorld::marker_of(world_.posts[0]).version, kZero);
    world_.answer_markers();
    EXPECT_EQ(refused({5, 3}), ErrorCode::kProducerFenced) << "its epoch is over";
    EXPECT_EQ(world_.init(), (Identity{5, 5}));
  }
}

TEST_F(InitProducerTest, AFenceOfAnEarlierVersionForgetsTheEpochBefore) {
  world_.level.set(TransactionVersion::kOne);
  const Identity first = world_.init();
  const Identity second = world_.init(first);
  begin(second);
  EXPECT_EQ(refused(), ErrorCode::kConcurrentTransactions);
  world_.answer_markers();
  EXPECT_EQ(refused(first), ErrorCode::kProducerFenced) << "it would get the epoch of whoever fenced it";
}

TEST_F(InitProducerTest, AZombieDoesNotAbortWhatItsSuccessorDoes) {
  const Identity zombie = world_.init();
  const Identity successor = world_.init();
  begin(successor);
  EXPECT_EQ(refused(zombie), ErrorCode::kProducerFenced);
  EXPECT_EQ(refused({77, 9}), ErrorCode::kProducerFenced);
  EXPECT_EQ(world_.describe().state, "Ongoing");
}

TEST_F(InitProducerTest, ARetryOfTheEpochBeforeMayAbort) {
  const Identity first = world_.init();
  const Identity second = world_.init(first);
  begin(second);
  EXPECT_EQ(refused(first), ErrorCode::kConcurrentTransactions);
  EXPECT_EQ(world_.describe().state, "PrepareAbort");
}

// --- epochs that are used up ----------------------------------------------------------------------------------------

TEST_F(InitProducerTest, WhoseEpochsAreUsedUpGetsAnotherId) {
  for (const Identity given : {Identity{}, Identity{5, 32'766}}) {
    world_.load(metadata(kCompleteCommit, {5, 32'766}));
    const Identity rotated = world_.init(given);
    EXPECT_NE(rotated.id, 5);
    EXPECT_EQ(rotated.epoch, 0);
    EXPECT_EQ(world_.written().previous_producer_id, 5);
    EXPECT_EQ(world_.written().state, kEmpty);
    if (given == Identity{}) {
      EXPECT_EQ(refused({5, 32'766}), ErrorCode::kProducerFenced) << "another one took over";
    } else {
      EXPECT_EQ(world_.init(given), rotated) << "a retry";
      EXPECT_EQ(refused({5, 32'765}), ErrorCode::kProducerFenced);
    }
  }
}

TEST_F(InitProducerTest, ARetryThatUsedUpTheLastEpochGetsIt) {
  world_.load(metadata(kEmpty, {5, 32'765}));
  EXPECT_EQ(world_.init({5, 32'765}), (Identity{5, 32'766}));
  EXPECT_EQ(world_.init({5, 32'765}), (Identity{5, 32'766}));
  EXPECT_EQ(refused({5, 32'764}), ErrorCode::kProducerFenced);
}

TEST_F(InitProducerTest, AFenceUsesUpTheLastEpochAndGivesAnotherId) {
  world_.load(metadata(kOngoing, {5, 32'766}, partitions("t", {0})));
  EXPECT_EQ(refused(), ErrorCode::kCoordinatorLoadInProgress) << "no id is ready yet";
  EXPECT_EQ(world_.describe().state, "Ongoing");
  EXPECT_EQ(refused(), ErrorCode::kConcurrentTransactions);
  EXPECT_EQ(world_.written().producer_epoch, 32'767);
  const int64_t next = world_.written().next_producer_id;
  EXPECT_GE(next, 1'000);
  EXPECT_EQ(TransactionWorld::marker_of(world_.posts[0]).marker.producer_id, 5) << "the one that wrote";
  EXPECT_EQ(TransactionWorld::marker_of(world_.posts[0]).marker.producer_epoch, 32'767);
  world_.answer_markers();
  EXPECT_EQ(world_.written().producer_id, next);
  EXPECT_EQ(world_.written().producer_epoch, 0);
  EXPECT_EQ(world_.written().previous_producer_id, 5);
  EXPECT_EQ(world_.init(), (Identity{next, 1}));
}

TEST_F(InitProducerTest, BelowLevelTwoAFencedLastEpochIsLeftByTheNextRequest) {
  world_.level.set(TransactionVersion::kOne);
  world_.load(metadata(kOngoing, {5, 32'766}, partitions("t", {0})));
  EXPECT_EQ(refused(), ErrorCode::kConcurrentTransactions);
  world_.answer_markers();
  EXPECT_EQ(world_.written().producer_id, 5);
  EXPECT_EQ(world_.written().producer_epoch, 32'767);
  EXPECT_EQ(world_.init(), (Identity{1'000, 0}));
}

// An epoch that should not be there does not become a negative one.
TEST_F(InitProducerTest, TheHighestEpochIsNotExceeded) {
  for (const TransactionVersion level : {TransactionVersion::kOne, kTwo}) {
    world_.level.set(level);
    world_.load(metadata(kOngoing, {5, 32'767}, partitions("t", {0})));
    if (refused() == ErrorCode::kCoordinatorLoadInProgress) refused();
    EXPECT_EQ(world_.written().state, kPrepareAbort);
    EXPECT_EQ(world_.written().producer_epoch, 32'767);
  }
}

TEST_F(InitProducerTest, AnIdWithoutAnEpochGetsItsFirst) {
  for (const Identity given : {Identity{}, Identity{77, 5}}) {
    world_.load(metadata(kEmpty, {5, -1}));
    EXPECT_EQ(world_.init(given), (Identity{5, 0}));
  }
}

// --- producer ids ---------------------------------------------------------------------------------------------------

TEST_F(InitProducerTest, ARequestWaitsForAProducerId) {
  world_.give_ids = false;
  const auto first = world_.ask_init();
  const auto second = world_.ask_init();
  const auto other = world_.ask_init({}, 60'000, "y");
  EXPECT_FALSE(first.answered());
  EXPECT_EQ(world_.calls.size(), ProducerIds::kReady);
  world_.give_id({{}, 50});
  EXPECT_EQ((Identity{first->producer_id, first->producer_epoch}), (Identity{50, 0}));
  EXPECT_FALSE(second.answered());
  world_.give_id({{}, 51});
  EXPECT_EQ((Identity{second->producer_id, second->producer_epoch}), (Identity{50, 1})) << "the id is known by now";
  EXPECT_EQ((Identity{other->producer_id, other->producer_epoch}), (Identity{51, 0}));
}

TEST_F(InitProducerTest, WhoeverWaitsIsToldThatThereIsNoProducerId) {
  world_.give_ids = false;
  const auto answer = world_.ask_init();
  world_.give_id({ErrorCode::kCoordinatorNotAvailable});
  EXPECT_EQ(answer->error, ErrorCode::kCoordinatorLoadInProgress);
  EXPECT_TRUE(world_.log.empty());
  world_.give_ids = true;
  world_.give_all_ids();
  EXPECT_EQ(world_.init().epoch, 0);
}

TEST_F(InitProducerTest, ThoseThatWaitAndTheirCallsAreBounded) {
  world_.give_ids = false;
  std::vector<Pending<InitProducerResult>> waiting;
  for (size_t i = 0; i < TransactionCoordinatorState::kWaitingForIdMax; ++i) {
    waiting.push_back(world_.ask_init({}, 60'000, "x" + std::to_string(i)));
    EXPECT_FALSE(waiting.back().answered());
  }
  EXPECT_EQ(world_.ask_init({}, 60'000, "one more")->error, ErrorCode::kCoordinatorLoadInProgress);
  EXPECT_LE(world_.calls.size(), TransactionCoordinatorState::kWaitingForIdMax + ProducerIds::kReady);
  world_.give_all_ids();
  for (const auto& one : waiting) EXPECT_EQ(one->error, ErrorCode::kNone);
  EXPECT_LE(world_.calls.size(), ProducerIds::kReady);
}

TEST_F(InitProducerTest, AnAbandonedStateAnswersWhoeverWaits) {
  world_.give_ids = false;
  const auto answer = world_.ask_init();
  world_.step([&](Effects& effects) { world_.state->abandon(ErrorCode::kNotCoordinator, effects); });
  EXPECT_EQ(answer->error, ErrorCode::kNotCoordinator);
}

TEST_F(InitProducerTest, IdsAreAskedForBeforeTheyAreNeeded) {
  world_.init();
  world_.give_ids = false;
  for (size_t i = 0; i < ProducerIds::kReady / 2; ++i) world_.init({}, "y" + std::to_string(i));
  EXPECT_FALSE(world_.calls.empty());
  EXPECT_LE(world_.calls.size(), ProducerIds::kReady);
}

// --- bounds ---------------------------------------------------------------------------------------------------------

TEST_F(InitProducerTest, AtTheBoundOfMemoryNewIdsAreAskedToComeAgain) {
  const Identity known = world_.init();
  world_.use_memory(7);
  EXPECT_EQ(world_.ask_init({}, 60'000, "new")->error, ErrorCode::kCoordinatorNotAvailable);
  world_.use_memory(6);
  EXPECT_EQ(world_.init(known).epoch, 1);
  EXPECT_EQ(world_.ask_init({}, 60'000, "new")->error, ErrorCode::kNone);
}

TEST_F(InitProducerTest, WhatDoesNotFitIntoARecordChangesNothing) {
  const std::string large(1'000, 'x');
  world_.state->limit_record(500);
  EXPECT_EQ(world_.ask_init({}, 60'000, large)->error, ErrorCode::kUnknownServerError);
  EXPECT_TRUE(world_.log.empty());
  EXPECT_EQ(world_.describe(large).error, ErrorCode::kTransactionalIdNotFound);
  EXPECT_EQ(world_.ask_init()->error, ErrorCode::kNone);
}

}  // namespace
}  // namespace weir::coordination
