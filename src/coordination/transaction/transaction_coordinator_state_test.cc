// Time and the log: timeouts, expiry, loads of each state; and the questions of tools and metrics.
#include "coordination/transaction/transaction_coordinator_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <tuple>

#include "base/log.h"
#include "coordination/transaction/transaction_world.h"

namespace weir::coordination {
namespace {

using enum TransactionState;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kDayMs = 24 * 3'600'000;

class TransactionCoordinatorStateTest : public ::testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::kError); }
  void TearDown() override { set_log_level(LogLevel::kInfo); }

  std::string_view state(const std::string& id = "x") { return world_.describe(id).state; }
  // Replays a record that is not of this machine's making. Returns the error's message.
  std::string replay(const CoordinatorRecord& record) {
    std::optional<Bytes> value;
    if (record.value) value = as_bytes(*record.value);
    const auto ok = world_.state->replay(0, {}, as_bytes(record.key), value);
    return ok ? "" : ok.error().message;
  }

  TransactionWorld world_;
  const Identity producer_{5, 3};
};

// --- timeouts -------------------------------------------------------------------------------------------------------

TEST_F(TransactionCoordinatorStateTest, ATransactionIsAbortedWhenItsTimeIsOver) {
  world_.load(metadata(kEmpty, producer_));
  ASSERT_EQ(world_.add(producer_, {{"t", 0}}), ErrorCode::kNone);
  world_.advance(30'000);
  ASSERT_EQ(world_.add(producer_, {{"t", 1}}), ErrorCode::kNone);
  world_.advance(29'999);
  EXPECT_EQ(state(), "Ongoing");
  world_.advance(1);
  EXPECT_EQ(state(), "PrepareAbort") << "it counts from its begin, whatever comes later";
  EXPECT_EQ(world_.written().producer_epoch, 4) << "one bump";
  EXPECT_EQ(world_.posts.size(), 2u);
  world_.answer_markers();
  EXPECT_EQ(world_.state->totals().timeouts, 1u);
  EXPECT_EQ(world_.state->totals().aborts, 1u);
  EXPECT_EQ(world_.add(producer_, {{"t", 0}}), ErrorCode::kProducerFenced);
  EXPECT_EQ(world_.ask_end(producer_, true)->error, ErrorCode::kProducerFenced);
  const auto aborted = world_.ask_end(producer_, false);
  EXPECT_EQ(aborted->error, ErrorCode::kNone);
  EXPECT_EQ((Identity{aborted->producer_id, aborted->producer_epoch}), (Identity{5, 4}));
}

TEST_F(TransactionCoordinatorStateTest, BelowLevelTwoTheProducerIsFencedByATimeout) {
  world_.level.set(TransactionVersion::kOne);
  world_.load(metadata(kOngoing, producer_, {{"t", 0}}));
  world_.advance(60'000);
  EXPECT_EQ(world_.written().state, kPrepareAbort);
  EXPECT_EQ(world_.written().producer_epoch, 4);
  EXPECT_EQ(world_.written().client_version, kZero);
  world_.answer_markers();
  for (const bool commit : {true, false}) {
    EXPECT_EQ(world_.ask_end(producer_, commit, kZero)->error, ErrorCode::kProducerFenced);
  }
}

TEST_F(TransactionCoordinatorStateTest, TheNextTransactionHasItsOwnTime) {
  Identity by = world_.init();
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(world_.add(by, {{"t", 0}}), ErrorCode::kNone);
    world_.advance(40'000);
    EXPECT_EQ(state(), "Ongoing");
    by = world_.end(by);
  }
  world_.advance(100'000);
  EXPECT_EQ(state(), "CompleteCommit");
}

TEST_F(TransactionCoordinatorStateTest, AShorterTimeHoldsFromTheNextTransactionOn) {
  const Identity by = world_.init();
  ASSERT_EQ(world_.add(by, {{"t", 0}}), ErrorCode::kNone);
  world_.end(by);
  const auto again = world_.ask_init({}, 1'000);
  ASSERT_EQ(world_.add({again->producer_id, again->producer_epoch}, {{"t", 0}}), ErrorCode::kNone);
  world_.advance(999);
  EXPECT_EQ(state(), "Ongoing");
  world_.advance(1);
  EXPECT_EQ(state(), "PrepareAbort");
}

TEST_F(TransactionCoordinatorStateTest, ALoadKeepsTheTimeOfAnOpenTransaction) {
  for (const auto& [passed_ms, left_ms] : {std::tuple{0, 60'000}, {10'000, 50'000}, {59'999, 1}, {-10'000, 60'000}}) {
    SCOPED_TRACE(passed_ms);
    TransactionMetadata open = metadata(kOngoing, producer_, {{"t", 0}});
    open.start_ms = world_.now.wall_ms - passed_ms;
    world_.load(open);
    world_.advance(left_ms - 1);
    EXPECT_EQ(state(), "Ongoing");
    world_.advance(1);
    EXPECT_EQ(state(), "PrepareAbort");
  }
}

TEST_F(TransactionCoordinatorStateTest, WhatWasOverAtTheLoadIsAbortedAtOnce) {
  for (const auto& [start_ms, timeout_ms] : {std::tuple{world_.now.wall_ms - 60'000, 60'000},
                                             {int64_t{-1}, 1},
                                             {std::numeric_limits<int64_t>::min(), 1},
                                             {world_.now.wall_ms, 0},
                                             {world_.now.wall_ms, -5}}) {
    TransactionMetadata open = metadata(kOngoing, producer_, {{"t", 0}});
    open.start_ms = start_ms;
    open.timeout_ms = timeout_ms;
    world_.load(open);
    world_.advance(0);
    EXPECT_EQ(state(), "PrepareAbort");
  }
}

// As Kafka has it for commits in two phases, which another program ends.
TEST_F(TransactionCoordinatorStateTest, TheLongestTimeoutIsNone) {
  TransactionMetadata open = metadata(kOngoing, producer_, {{"t", 0}});
  open.timeout_ms = std::numeric_limits<int32_t>::max();
  world_.load(open);
  world_.advance(int64_t{40} * kDayMs);
  EXPECT_EQ(state(), "Ongoing");
}

TEST_F(TransactionCoordinatorStateTest, TheTimeOfAnEarlierTransactionDoesNotEndOneWithoutTimeout) {
  TransactionConfig config;
  config.transaction_max_timeout_ms = std::numeric_limits<int32_t>::max();
  TransactionWorld world(config);
  const auto first = world.ask_init({}, 1'000);
  ASSERT_EQ(world.add({first->producer_id, first->producer_epoch}, {{"t", 0}}), ErrorCode::kNone);
  world.end({first->producer_id, first->producer_epoch});
  const auto second = world.ask_init({}, std::numeric_limits<int32_t>::max());
  ASSERT_EQ(world.add({second->producer_id, second->producer_epoch}, {{"t", 0}}), ErrorCode::kNone);
  world.advance(5'000);
  EXPECT_EQ(world.describe().state, "Ongoing");
}

TEST_F(TransactionCoordinatorStateTest, ATimeoutThatNeedsAProducerIdIsTriedAgain) {
  world_.load(metadata(kOngoing, {5, 32'766}, {{"t", 0}}));
  world_.give_ids = false;
  world_.advance(60'050);
  EXPECT_EQ(state(), "Ongoing");
  EXPECT_EQ(world_.state->totals().timeouts, 0u);
  world_.give_all_ids();
  world_.advance(50);
  EXPECT_EQ(state(), "PrepareAbort");
  EXPECT_GE(world_.written().next_producer_id, 1'000);
  EXPECT_EQ(world_.state->totals().timeouts, 1u);
}

TEST_F(TransactionCoordinatorStateTest, ManyThatAreDueAtOnceAreMoreThanOneStep) {
  for (int i = 0; i < 600; ++i) world_.put(metadata(kOngoing, producer_, {{"t", 0}}), kTwo, "x" + std::to_string(i));
  world_.restart();
  world_.to(world_.now.monotonic_ms + 60'000);
  Effects effects;
  world_.state->tick(world_.now, effects);
  EXPECT_GT(effects.log.size(), 100u);
  EXPECT_LT(effects.log.size(), 300u);
  EXPECT_LE(world_.state->next_deadline_ms(), world_.now.monotonic_ms) << "the others are next";
}

// --- expiry ---------------------------------------------------------------------------------------------------------

TEST_F(TransactionCoordinatorStateTest, IdsThatNobodyUsesExpire) {
  for (const TransactionState one : {kEmpty, kCompleteCommit, kCompleteAbort}) {
    world_.put(metadata(one, producer_), kTwo, std::string(name_of(one)));
  }
  world_.put(metadata(kEmpty, {6, -1}), kTwo, "no epoch");
  TransactionMetadata endless = metadata(kOngoing, producer_, {{"t", 0}});
  endless.timeout_ms = std::numeric_limits<int32_t>::max();
  world_.put(endless, kTwo, "open");
  world_.put(metadata(kPrepareCommit, producer_, {{"t", 0}}), kTwo, "ends");
  world_.restart();
  world_.advance(7 * kDayMs - 1);
  EXPECT_EQ(world_.list().size(), 6u);
  world_.advance(3'600'001);
  EXPECT_THAT(world_.list(), ElementsAre("ends", "open"));
  EXPECT_EQ(world_.state->totals().expired_ids, 4u);
  EXPECT_EQ(world_.record().value, std::nullopt) << "a tombstone";
  EXPECT_EQ(world_.add(producer_, {{"t", 0}}, kTwo, "Empty"), ErrorCode::kInvalidProducerIdMapping);
  EXPECT_EQ(world_.ask_end(producer_, true, kTwo, "Empty")->error, ErrorCode::kInvalidProducerIdMapping);
}

TEST_F(TransactionCoordinatorStateTest, AnUseDelaysExpiry) {
  Identity by = world_.init();
  world_.advance(5 * kDayMs);
  by = world_.init();
  world_.advance(5 * kDayMs);
  EXPECT_EQ(state(), "Empty");
  world_.advance(3 * kDayMs);
  EXPECT_EQ(world_.describe().error, ErrorCode::kTransactionalIdNotFound);
  EXPECT_EQ(world_.state->memory_bytes(), 0);
  EXPECT_THAT(world_.state->totals().by_state, ElementsAre(0, 0, 0, 0, 0, 0));
  EXPECT_EQ(world_.init(by).epoch, 0) << "of another producer";
}

TEST_F(TransactionCoordinatorStateTest, ManyIdsExpireSomeAtATime) {
  for (int i = 0; i < 1'200; ++i) {
    world_.put(metadata(i % 3 == 0 ? kOngoing : kEmpty, producer_), kTwo, "x" + std::to_string(i));
  }
  const auto state = world_.replayed();  // no step that compares all of it
  const Instant later{world_.now.monotonic_ms + 30 * kDayMs, world_.now.wall_ms + 30 * kDayMs};
  Effects effects;
  state->loaded(world_.image, world_.now, effects);
  size_t most = 0, all = 0;
  for (int i = 0; i < 20; ++i) {
    Effects of_step;
    state->tick({later.monotonic_ms + i, later.wall_ms}, of_step);
    size_t tombstones = 0;
    for (const LogEntry& entry : of_step.log) tombstones += !std::get<CoordinatorRecord>(entry.what).value;
    most = std::max(most, tombstones);
    all += tombstones;
  }
  EXPECT_EQ(all, 800u);
  EXPECT_LE(most, 512u);
}

// --- loads ----------------------------------------------------------------------------------------------------------

TEST_F(TransactionCoordinatorStateTest, TheLastRecordCounts) {
  world_.put(metadata(kOngoing, {4, 1}, {{"t", 0}}));
  world_.put(metadata(kCompleteAbort, {5, 7}));
  world_.put(metadata(kEmpty, {8, 0}), kTwo, "removed");
  world_.log.push_back({encode({"removed", std::nullopt}, kTwo)});
  world_.log.push_back({encode({"never there", std::nullopt}, kTwo)});
  world_.restart();
  EXPECT_THAT(world_.list(), ElementsAre("x"));
  EXPECT_EQ(state(), "CompleteAbort");
  EXPECT_EQ(world_.describe().producer_epoch, 7);
  EXPECT_EQ(world_.state->summary(), "1 transactional id");
  EXPECT_EQ(TransactionWorld().state->summary(), "");
}

TEST_F(TransactionCoordinatorStateTest, IdleIdsGoOnAfterALoad) {
  for (const TransactionState one : {kEmpty, kCompleteCommit, kCompleteAbort}) {
    world_.load(metadata(one, producer_));
    EXPECT_THAT(world_.posts, IsEmpty());
    EXPECT_EQ(world_.add(producer_, {{"t", 0}}), ErrorCode::kNone);
  }
}

TEST_F(TransactionCoordinatorStateTest, AnOpenTransactionGoesOnAfterALoad) {
  world_.load(metadata(kOngoing, producer_, {{"t", 0}}));
  EXPECT_THAT(world_.verify(producer_, {{"t", 0}}), ElementsAre(ErrorCode::kNone));
  EXPECT_EQ(world_.end(producer_), (Identity{5, 4}));
}

TEST_F(TransactionCoordinatorStateTest, MarkersAreSentAgainAfterALoadWithThePresentCoordinatorEpoch) {
  for (const TransactionState one : {kPrepareCommit, kPrepareAbort}) {
    TransactionMetadata ending = metadata(one, producer_, {{"t", 0}, {"t", 1}});
    ending.client_version = one == kPrepareCommit ? kTwo : kZero;
    world_.load(ending);
    ASSERT_EQ(world_.posts.size(), 2u);
    const WriteMarker marker = TransactionWorld::marker_of(world_.posts[0]);
    EXPECT_EQ(marker.marker, (TransactionMarker{5, 3, TransactionWorld::kCoordinatorEpoch, one == kPrepareCommit}));
    EXPECT_EQ(marker.version, ending.client_version);
    world_.answer_markers();
    EXPECT_EQ(state(), one == kPrepareCommit ? "CompleteCommit" : "CompleteAbort");
  }
}

TEST_F(TransactionCoordinatorStateTest, AnEndWithoutPartitionsIsCompletedByTheLoad) {
  world_.load(metadata(kPrepareAbort, producer_));
  EXPECT_EQ(state(), "CompleteAbort");
  world_.set_gone({"t"});
  world_.load(metadata(kPrepareCommit, producer_, {{"t", 0}}));
  EXPECT_EQ(state(), "CompleteCommit");
}

TEST_F(TransactionCoordinatorStateTest, AnUnreadableRecordChangesNothing) {
  world_.load(metadata(kOngoing, producer_, {{"t", 0}}));
  const CoordinatorRecord good = encode({"x", metadata(kEmpty, {6, 0})}, kTwo);
  CoordinatorRecord key_version = good;
  key_version.key[1] = 9;
  EXPECT_THAT(replay(key_version), ::testing::HasSubstr("its key has the unknown version 9"));
  CoordinatorRecord value_version = good;
  (*value_version.value)[1] = 2;
  EXPECT_THAT(replay(value_version), ::testing::HasSubstr("its value has the unknown version 2"));
  for (size_t bytes = 0; bytes < good.value->size(); ++bytes) {
    EXPECT_NE(replay({good.key, good.value->substr(0, bytes)}), "") << bytes;
  }
  for (size_t bytes = 0; bytes < good.key.size(); ++bytes) {
    EXPECT_NE(replay({good.key.substr(0, bytes), good.value}), "") << bytes;
  }
  EXPECT_EQ(state(), "Ongoing");
  EXPECT_EQ(replay(good), "");
}

// --- questions ------------------------------------------------------------------------------------------------------

TEST_F(TransactionCoordinatorStateTest, Describes) {
  EXPECT_EQ(world_.describe("").error, ErrorCode::kInvalidRequest);
  EXPECT_EQ(world_.describe("nobody").error, ErrorCode::kTransactionalIdNotFound);
  world_.load(metadata(kOngoing, producer_, {{"u", 4}, {"t", 2}, {"t", 0}}));
  const TransactionDescription found = world_.describe();
  EXPECT_EQ(found.error, ErrorCode::kNone);
  EXPECT_EQ(found.transactional_id, "x");
  EXPECT_EQ(found.state, "Ongoing");
  EXPECT_EQ(found.timeout_ms, 60'000);
  EXPECT_EQ(found.start_ms, 1'735'689'600'000);
  EXPECT_EQ(found.producer_id, 5);
  EXPECT_EQ(found.producer_epoch, 3);
  EXPECT_THAT(found.topics, ElementsAre(TransactionTopic{"t", {0, 2}}, TransactionTopic{"u", {4}}));
}

TEST_F(TransactionCoordinatorStateTest, Lists) {
  TransactionMetadata old = metadata(kOngoing, {7, 0});
  old.start_ms -= 10'000;
  world_.put(old, kTwo, "old");
  world_.put(metadata(kOngoing, {5, 3}), kTwo, "young");
  world_.put(metadata(kCompleteAbort, {6, 3}), kTwo, "done");
  TransactionMetadata fresh = metadata(kEmpty, {8, 0});
  fresh.start_ms = -1;
  world_.put(fresh, kTwo, "fresh");
  world_.restart();
  EXPECT_THAT(world_.list(), ElementsAre("done", "fresh", "old", "young"));
  EXPECT_THAT(world_.list({{"Ongoing", "no such state"}, {}, -1}), ElementsAre("old", "young"));
  EXPECT_THAT(world_.list({{"no such state"}, {}, -1}), IsEmpty());
  EXPECT_THAT(world_.list({{}, {1, 6, 7}, -1}), ElementsAre("done", "old"));
  EXPECT_THAT(world_.list({{}, {}, 10'000}), ElementsAre("fresh")) << "as Kafka, which counts from the time that it has";
  EXPECT_THAT(world_.list({{"Ongoing"}, {}, 9'999}), ElementsAre("old"));
  EXPECT_TRUE(is_transaction_state("Dead"));
  EXPECT_TRUE(is_transaction_state("PrepareAbort"));
  EXPECT_FALSE(is_transaction_state("prepareabort"));
}

TEST_F(TransactionCoordinatorStateTest, TellsWhatOpenTransactionsClaim) {
  world_.put(metadata(kOngoing, {5, 0}, {{"t", 1}, {"u", 2}}), kTwo, "open");
  world_.put(metadata(kPrepareAbort, {6, 0}, {{"t", 1}}), kTwo, "ends");
  world_.put(metadata(kCompleteAbort, {7, 0}), kTwo, "done");
  world_.restart();
  std::vector<std::tuple<int64_t, std::string, int32_t>> claims;
  const auto collect = [&] {
    claims.clear();
    world_.state->each_claim([&](int64_t id, std::string_view topic, int32_t index) { claims.emplace_back(id, topic, index); });
    return claims;
  };
  EXPECT_THAT(collect(), ::testing::UnorderedElementsAre(std::tuple{5, "t", 1}, std::tuple{5, "u", 2}, std::tuple{6, "t", 1}));
  world_.answer_markers();
  EXPECT_THAT(collect(), ElementsAre(std::tuple{5, "t", 1}, std::tuple{5, "u", 2}));
}

TEST_F(TransactionCoordinatorStateTest, Counts) {
  EXPECT_EQ(world_.state->totals().oldest_open_start_ms, -1);
  TransactionMetadata old = metadata(kOngoing, {7, 0}, {{"t", 0}});
  old.start_ms -= 10'000;
  world_.put(old, kTwo, "old");
  world_.put(metadata(kOngoing, {5, 3}, {{"t", 0}}), kTwo, "young");
  world_.put(metadata(kEmpty, {6, 3}), kTwo, "fresh");
  world_.restart();
  TransactionTotals totals = world_.state->totals();
  EXPECT_THAT(totals.by_state, ElementsAre(1, 2, 0, 0, 0, 0));
  EXPECT_EQ(totals.oldest_open_start_ms, old.start_ms);
  ASSERT_EQ(world_.ask_end({7, 0}, true, kTwo, "old")->error, ErrorCode::kNone);
  totals = world_.state->totals();
  EXPECT_THAT(totals.by_state, ElementsAre(1, 1, 1, 0, 0, 0));
  EXPECT_EQ(totals.oldest_open_start_ms, old.start_ms) << "until it is complete";
  world_.answer_markers();
  totals = world_.state->totals();
  EXPECT_THAT(totals.by_state, ElementsAre(1, 1, 0, 0, 1, 0));
  EXPECT_EQ(totals.oldest_open_start_ms, old.start_ms + 10'000);
  TransactionTotals sum;
  sum += totals;
  EXPECT_EQ(sum.oldest_open_start_ms, totals.oldest_open_start_ms);
  sum += TransactionTotals();
  sum += totals;
  EXPECT_EQ(sum.oldest_open_start_ms, totals.oldest_open_start_ms);
  EXPECT_THAT(sum.by_state, ElementsAre(2, 2, 0, 0, 2, 0));
  EXPECT_EQ(sum.commits, 2u);
}

TEST_F(TransactionCoordinatorStateTest, MemoryIsThatOfIdsAndTheirPartitions) {
  EXPECT_EQ(world_.state->memory_bytes(), 0);
  const Identity by = world_.init();
  const int64_t idle = world_.state->memory_bytes();
  EXPECT_GE(idle, 300);
  ASSERT_EQ(world_.add(by, partitions("t", {0, 1, 2})), ErrorCode::kNone);
  EXPECT_GE(world_.state->memory_bytes(), idle + 24 * 3);
  world_.end(by);
  EXPECT_EQ(world_.state->memory_bytes(), idle);
}

}  // namespace
}  // namespace weir::coordination
