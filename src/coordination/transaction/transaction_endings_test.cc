// Markers of transactions that end: to whom they go, and what becomes of their results.
#include "coordination/transaction/transaction_endings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <tuple>
#include <vector>

#include "base/log.h"
#include "coordination/transaction/transaction_world.h"

namespace weir::coordination {
namespace {

using enum TransactionState;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TransactionEndingsTest : public ::testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::kError); }
  void TearDown() override { set_log_level(LogLevel::kInfo); }

  void open(const std::vector<TopicPartition>& in) { world_.load(metadata(kOngoing, producer_, in)); }
  void commit() { ASSERT_EQ(world_.ask_end(producer_, true)->error, ErrorCode::kNone); }
  std::string_view state() { return world_.describe().state; }
  std::vector<storage::PartitionId> targets() const {
    std::vector<storage::PartitionId> all;
    for (const Post& post : world_.posts) all.push_back(post.to);
    return all;
  }
  static storage::PartitionId id(std::string_view topic, int32_t index) { return {TestImage::id_of(topic), index}; }
  // The time until the next marker goes out.
  int64_t wait_for_marker() {
    const int64_t begin_ms = world_.now.monotonic_ms;
    while (world_.posts.empty() && world_.now.monotonic_ms - begin_ms < 100'000) world_.advance(1);
    return world_.now.monotonic_ms - begin_ms;
  }

  TransactionWorld world_;
  const Identity producer_{5, 3};
};

TEST_F(TransactionEndingsTest, EveryPartitionGetsAMarkerAndTheLastOneCompletes) {
  open({{"t", 1}, {"t", 0}, {"__consumer_offsets", 12}});
  commit();
  EXPECT_THAT(targets(), ElementsAre(id("__consumer_offsets", 12), id("t", 0), id("t", 1)));
  EXPECT_EQ(world_.state->totals().markers_outstanding, 3u);
  world_.advance(40);
  world_.answer_marker();
  world_.answer_marker();
  EXPECT_EQ(state(), "PrepareCommit");
  EXPECT_THAT(world_.describe().topics, ElementsAre(TransactionTopic{"t", {1}})) << "those that are not done";
  world_.answer_marker();
  EXPECT_EQ(state(), "CompleteCommit");
  const TransactionTotals totals = world_.state->totals();
  EXPECT_EQ(totals.markers_outstanding, 0u);
  EXPECT_EQ(totals.markers_written, 3u);
  EXPECT_EQ(totals.commits, 1u);
  EXPECT_EQ(totals.aborts, 0u);
  EXPECT_EQ(totals.endings.sum_ms, 40);
}

TEST_F(TransactionEndingsTest, TheTimesOfEndsAreCountedInBuckets) {
  const std::vector<int64_t> times = {0, 1, 2, 3, 64, 65, 65'536, 65'537, 1'000'000};
  for (const int64_t ms : times) {
    open({{"t", 0}});
    commit();
    world_.advance(ms);
    world_.answer_marker();
    const TransactionTotals totals = world_.state->totals();
    EXPECT_EQ(totals.endings.sum_ms, ms);
    size_t bucket = 0;
    while (totals.endings.counts[bucket] == 0) ++bucket;
    const int64_t above = bucket == 0 ? -1 : EndingTimes::bound_ms(bucket - 1);
    EXPECT_GT(ms, above);
    if (bucket + 1 < EndingTimes::kBuckets) {
      EXPECT_LE(ms, EndingTimes::bound_ms(bucket));
    } else {
      EXPECT_GT(ms, 65'536);
    }
  }
  EndingTimes sum;
  for (int i = 0; i < 2; ++i) sum += world_.state->totals().endings;
  EXPECT_EQ(sum.sum_ms, 2'000'000);
  EXPECT_EQ(sum.counts.back(), 2u);
}

TEST_F(TransactionEndingsTest, MarkersGoBehindTheDecision) {
  open({{"t", 0}});
  Effects effects;
  EndTransactionResult answer;
  world_.state->end_transaction(
      {"x", 5, 3, true, kTwo}, [&](EndTransactionResult result) { answer = result; }, world_.now, effects);
  EXPECT_EQ(effects.log.size(), 1u);
  EXPECT_EQ(effects.posts.size(), 1u) << "which the runtime keeps until the entries of the step are durable";
  EXPECT_EQ(effects.replies.size(), 1u);
}

TEST_F(TransactionEndingsTest, APartitionThatIsGoneNeedsNoMarker) {
  open({{"gone", 0}, {"t", 0}});
  world_.set_gone({"gone"});
  commit();
  EXPECT_THAT(targets(), ElementsAre(id("t", 0)));
  world_.answer_marker();
  EXPECT_EQ(state(), "CompleteCommit");
}

TEST_F(TransactionEndingsTest, IfAllAreGoneTheEndIsComplete) {
  open({{"gone", 0}});
  world_.set_gone({"gone"});
  commit();
  EXPECT_TRUE(world_.posts.empty());
  EXPECT_EQ(state(), "CompleteCommit");
  EXPECT_EQ(world_.written(1).state, kPrepareCommit);
}

TEST_F(TransactionEndingsTest, OneThatGoesMeanwhileIsDoneWhenItsMarkerFails) {
  open({{"gone", 0}});
  commit();
  world_.set_gone({"gone"});
  EXPECT_EQ(state(), "PrepareCommit");
  world_.answer_marker(ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(state(), "CompleteCommit");
}

TEST_F(TransactionEndingsTest, OneThatGoesMeanwhileIsDoneAtTheNextTry) {
  open({{"gone", 0}});
  commit();
  world_.answer_marker(ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(state(), "PrepareCommit") << "the image has it";
  world_.set_gone({"gone"});
  world_.advance(50);
  EXPECT_TRUE(world_.posts.empty());
  EXPECT_EQ(state(), "CompleteCommit");
  EXPECT_EQ(world_.state->totals().markers_to_retry, 0u);
}

TEST_F(TransactionEndingsTest, APartitionThatFailsIsTriedAgainLessAndLessOften) {
  open({{"t", 0}, {"u", 0}});
  commit();
  std::vector<int64_t> waits;
  const std::vector<ErrorCode> errors = {ErrorCode::kNotLeaderOrFollower,       ErrorCode::kKafkaStorageError,
                                         ErrorCode::kCoordinatorLoadInProgress, ErrorCode::kRequestTimedOut,
                                         ErrorCode::kNotEnoughReplicas,         ErrorCode::kUnknownServerError,
                                         ErrorCode::kUnknownTopicOrPartition};
  world_.answer_marker(errors[0]);
  world_.answer_marker();  // of the other one
  for (size_t i = 1; i < errors.size(); ++i) {
    EXPECT_EQ(world_.state->totals().markers_to_retry, 1u);
    waits.push_back(wait_for_marker());
    EXPECT_EQ(world_.state->totals().markers_to_retry, 0u);
    ASSERT_THAT(targets(), ElementsAre(id("t", 0))) << "that partition only";
    world_.answer_marker(errors[i]);
  }
  EXPECT_THAT(waits, ElementsAre(50, 100, 200, 400, 800, 1'000));
  EXPECT_EQ(wait_for_marker(), 1'000);
  EXPECT_EQ(state(), "PrepareCommit");
  world_.answer_marker();
  EXPECT_EQ(state(), "CompleteCommit");
  EXPECT_EQ(world_.state->totals().marker_retries, 7u);
  EXPECT_EQ(world_.state->totals().markers_written, 2u);
}

TEST_F(TransactionEndingsTest, PartitionsThatFailAtDifferentTimesAreTriedAtTheirOwn) {
  open({{"t", 0}, {"u", 0}});
  commit();
  world_.answer_marker(ErrorCode::kRequestTimedOut);
  world_.advance(30);
  world_.answer_marker(ErrorCode::kRequestTimedOut);
  EXPECT_EQ(wait_for_marker(), 20);
  EXPECT_THAT(targets(), ElementsAre(id("t", 0)));
  world_.answer_marker();
  EXPECT_EQ(wait_for_marker(), 30);
  EXPECT_THAT(targets(), ElementsAre(id("u", 0)));
  world_.answer_marker();
  EXPECT_EQ(state(), "CompleteCommit");
}

TEST_F(TransactionEndingsTest, APartitionThatHasSeenALaterEpochIsDone) {
  open({{"t", 0}});
  commit();
  world_.answer_marker(ErrorCode::kInvalidProducerEpoch);
  EXPECT_EQ(state(), "CompleteCommit");
  EXPECT_EQ(world_.state->totals().markers_written, 0u);
}

// Nobody but this coordinator can end it, and the others of the coordinator go on.
TEST_F(TransactionEndingsTest, APartitionThatKnowsALaterCoordinatorIsTriedAgain) {
  world_.put(metadata(kEmpty, {6, 0}), kTwo, "other");
  open({{"t", 0}});
  commit();
  for (const int64_t wait_ms : {50, 100, 200, 400, 800, 1'000, 1'000}) {
    world_.answer_marker(ErrorCode::kTransactionCoordinatorFenced);
    EXPECT_EQ(world_.add({6, 0}, {{"t", 0}}, kTwo, "other"), ErrorCode::kNone);
    EXPECT_EQ(wait_for_marker(), wait_ms);
  }
  world_.answer_marker();
  EXPECT_EQ(state(), "CompleteCommit");
}

TEST_F(TransactionEndingsTest, TheLogTellsOncePerPartitionWhatATransactionWaitsFor) {
  std::vector<std::string> lines;
  set_log_level(LogLevel::kWarn);
  set_log_sink([&](LogLevel, std::string_view, std::string_view message) { lines.emplace_back(message); });
  open({{"t", 0}, {"u", 0}});
  commit();
  for (int i = 0; i < 30; ++i) {
    while (!world_.posts.empty()) {
      const bool fenced = world_.posts.front().to == id("u", 0);
      world_.answer_marker(fenced ? ErrorCode::kTransactionCoordinatorFenced : ErrorCode::kKafkaStorageError);
    }
    if (i == 4) {
      EXPECT_THAT(lines, ::testing::IsEmpty()) << "it may pass";
    }
    wait_for_marker();
  }
  set_log_sink({});
  EXPECT_THAT(lines, ElementsAre(HasSubstr("Transaction of 'x' (producer 5, epoch 4) waits for its marker in t-0, which answers "
                                           "KAFKA_STORAGE_ERROR"),
                                 AllOf(HasSubstr("u-0, which answers TRANSACTION_COORDINATOR_FENCED"),
                                       HasSubstr("with an epoch above 7 wrote there"), HasSubstr("Each start of Weir raises"))));
}

TEST_F(TransactionEndingsTest, OnlySoManyMarkersAreUnderWay) {
  constexpr size_t kMost = TransactionEndings::kUnderWayMax;
  std::vector<int32_t> indexes(kMost + 500);
  std::iota(indexes.begin(), indexes.end(), 0);
  open(partitions("t", indexes));
  world_.put(metadata(kOngoing, {6, 0}, {{"t", 0}}), kTwo, "y");
  world_.restart();
  commit();
  ASSERT_EQ(world_.ask_end({6, 0}, true, kTwo, "y")->error, ErrorCode::kNone);
  EXPECT_EQ(world_.posts.size(), kMost);
  EXPECT_EQ(world_.state->totals().markers_outstanding, kMost + 501);
  world_.answer_marker(ErrorCode::kRequestTimedOut);
  world_.answer_marker();
  EXPECT_EQ(world_.posts.size(), kMost) << "the next two";
  world_.advance(50);
  EXPECT_EQ(world_.posts.size(), kMost) << "one that is tried again waits its turn";
  world_.answer_markers();
  EXPECT_EQ(state(), "CompleteCommit");
  EXPECT_EQ(world_.describe("y").state, "CompleteCommit");
  EXPECT_EQ(world_.state->totals().markers_outstanding, 0u);
}

TEST_F(TransactionEndingsTest, AMarkerUnderWayDoesNotHoldTheIdOfItsTransaction) {
  const std::string id(30'000, 'i');  // of 10'000 markers it would be 300 MB
  world_.put(metadata(kOngoing, producer_, {{"t", 0}}), kTwo, id);
  world_.restart();
  ASSERT_EQ(world_.ask_end(producer_, true, kTwo, id)->error, ErrorCode::kNone);
  EXPECT_EQ(world_.posts.at(0).token.key, "");
  world_.answer_marker();
  EXPECT_EQ(world_.describe(id).state, "CompleteCommit");
}

TEST_F(TransactionEndingsTest, ResultsOfAnEarlierEndAreIgnored) {
  open({{"t", 0}, {"u", 0}});
  commit();
  const std::deque<Post> first = world_.posts;
  world_.answer_markers();
  ASSERT_EQ(world_.add({5, 4}, {{"t", 0}, {"u", 0}}), ErrorCode::kNone);
  const auto arrives = [&](const Token& token) {
    world_.step([&](Effects& effects) { world_.state->arrived(token, MarkerWritten(), world_.now, effects); });
  };
  for (const Post& post : first) arrives(post.token);
  EXPECT_EQ(state(), "Ongoing");
  ASSERT_EQ(world_.ask_end({5, 4}, false)->error, ErrorCode::kNone);
  for (const Post& post : first) arrives(post.token);
  EXPECT_EQ(state(), "PrepareAbort");
  arrives(world_.posts[0].token);
  arrives(world_.posts[0].token);
  EXPECT_EQ(state(), "PrepareAbort") << "one result counts once";
  arrives({"nobody", static_cast<int>(TransactionWork::kMarker), 1});
  arrives(world_.posts[1].token);
  EXPECT_EQ(state(), "CompleteAbort");
}

TEST_F(TransactionEndingsTest, WhatFailsIsTakenForDoneOnlyOnce) {
  open({{"t", 0}, {"u", 0}});
  commit();
  const Token token = world_.posts[0].token;
  world_.answer_marker(ErrorCode::kRequestTimedOut);
  world_.step([&](Effects& effects) { world_.state->arrived(token, MarkerWritten(), world_.now, effects); });
  EXPECT_EQ(world_.state->totals().markers_outstanding, 2u) << "it is not under way: the result is of another time";
}

TEST_F(TransactionEndingsTest, TransactionsEndApartFromEachOther) {
  for (const auto& [id, epoch] : {std::tuple{"a", int16_t{1}}, {"b", int16_t{2}}}) {
    world_.put(metadata(kOngoing, {5, epoch}, {{"t", 0}, {"u", 0}}), kTwo, id);
  }
  world_.restart();
  ASSERT_EQ(world_.ask_end({5, 1}, true, kTwo, "a")->error, ErrorCode::kNone);
  ASSERT_EQ(world_.ask_end({5, 2}, false, kTwo, "b")->error, ErrorCode::kNone);
  ASSERT_EQ(world_.posts.size(), 4u);
  std::swap(world_.posts[0], world_.posts[2]);
  world_.answer_marker();
  world_.answer_marker();
  EXPECT_EQ(world_.describe("a").state, "PrepareCommit");
  EXPECT_EQ(world_.describe("b").state, "PrepareAbort");
  world_.answer_marker();
  EXPECT_EQ(world_.describe("a").state, "CompleteCommit");
  world_.answer_marker();
  EXPECT_EQ(world_.describe("b").state, "CompleteAbort");
}

}  // namespace
}  // namespace weir::coordination
