#include "testing/history/history.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace weir::testing {
namespace {

TEST(HistoryRecorder, KeepsTheOrderOfCalls) {
  HistoryRecorder recorder;
  const NameId partition = recorder.partition("orders", 2);
  const OperationId first = recorder.invoke(1, Send{.partition = partition, .value = 5});
  const OperationId second = recorder.invoke(2, Send{.partition = partition, .value = 6});
  recorder.ok(second, Send{.partition = partition, .value = 6, .offset = 9});
  recorder.fail(first);
  const History history = recorder.history();
  EXPECT_EQ(history.operations[first].invoked, 0u);
  EXPECT_EQ(history.operations[second].invoked, 1u);
  EXPECT_EQ(history.operations[second].completed, 2u);
  EXPECT_EQ(history.operations[first].completed, 3u);
  EXPECT_EQ(history.operations[first].outcome, Outcome::kFail);
  EXPECT_EQ(std::get<Send>(history.operations[second].body).offset, 9);
}

TEST(HistoryRecorder, AnOperationThatDoesNotEndIsUnknown) {
  HistoryRecorder recorder;
  const OperationId id = recorder.invoke(1, InitProducer{recorder.name("id")});
  EXPECT_EQ(recorder.history().operations[id].outcome, Outcome::kUnknown);
  EXPECT_EQ(recorder.history().operations[id].completed, Operation::kNever);
}

TEST(HistoryRecorder, ANameHasOneNumber) {
  HistoryRecorder recorder;
  EXPECT_EQ(recorder.partition("orders", 2), recorder.name("orders-2"));
  EXPECT_NE(recorder.name("a"), recorder.name("b"));
}

TEST(HistoryRecorder, TakesCallsOfManyThreads) {
  HistoryRecorder recorder;
  std::vector<std::thread> threads;
  for (uint32_t client = 0; client < 4; ++client) {
    threads.emplace_back([&recorder, client] {
      for (uint64_t i = 1; i <= 500; ++i) {
        recorder.ok(recorder.invoke(client, Send{.partition = recorder.name("p"), .value = client * 1000 + i}));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const History history = recorder.history();
  ASSERT_EQ(history.operations.size(), 2'000u);
  for (size_t i = 1; i < history.operations.size(); ++i) {
    EXPECT_EQ(history.operations[i].outcome, Outcome::kOk);
    EXPECT_LT(history.operations[i - 1].invoked, history.operations[i].invoked);
  }
}

TEST(HistoryText, HasALineForEachOperation) {
  HistoryRecorder recorder;
  const NameId partition = recorder.partition("p", 0), group = recorder.name("g");
  const OperationId init = recorder.invoke(1, InitProducer{recorder.name("id")});
  recorder.ok(init);
  const OperationId transaction = recorder.invoke(1, Begin{init, group});
  recorder.ok(transaction);
  recorder.fail(recorder.invoke(1, Send{.partition = partition, .key = 3, .value = 5, .transaction = transaction, .cause = 4}));
  recorder.invoke(1, SendOffsets{transaction, group, 7, {{partition, 2}}});
  recorder.invoke(1, EndTransaction{transaction, false});
  recorder.invoke(2, Poll{.isolation = Isolation::kReadUncommitted, .ranges = {{partition, 0, 3, {{1, 3, 5}, {2, 3, 6}}}}});
  recorder.invoke(2, CommitOffsets{group, -1, {{partition, 2}}});
  recorder.invoke(2, FetchOffsets{group, true, {{partition, -1}}});
  recorder.invoke(2, Assigned{group, 7, {partition}});
  recorder.invoke(2, Revoked{kNoName, -1, {partition}});
  EXPECT_EQ(to_text(recorder.history()),
            "#0 [0..1] client 1, ok: initialize producer id\n"
            "#1 [2..3] client 1, ok: begin a transaction of producer #0 for group g\n"
            "#2 [4..5] client 1, failed: send 5 (key 3) to p-0 in #1 for record 4\n"
            "#3 [6..] client 1, unknown: send offsets of group g in generation 7 in #1: p-0@2\n"
            "#4 [7..] client 1, unknown: abort transaction #1\n"
            "#5 [8..] client 2, unknown: poll uncommitted; p-0 0..3: 5@1 6@2\n"
            "#6 [9..] client 2, unknown: commit offsets of group g: p-0@2\n"
            "#7 [10..] client 2, unknown: fetch stable offsets of group g: p-0@-1\n"
            "#8 [11..] client 2, unknown: is assigned in group g in generation 7: p-0\n"
            "#9 [12..] client 2, unknown: gives up: p-0\n");
}

}  // namespace
}  // namespace weir::testing
