#include "testing/history/order_checker.h"

#include <gtest/gtest.h>

#include "testing/history/history_fixture.h"

namespace weir::testing {
namespace {

using enum AnomalyKind;

// --- Sends

TEST(OrderChecker, FindsSendsOfOneClientInTheWrongOrder) {
  PlantedHistory history;
  history.send(1, history.record(0, 7, 5));
  history.send(1, history.record(0, 8, 4));
  EXPECT_EQ(history.kinds(), AnomalyKinds{kNonMonotonicSend});
}

TEST(OrderChecker, FindsSendsOfTwoClientsInTheWrongOrder) {
  PlantedHistory history;
  history.send(1, history.record(0, 7, 5));
  history.send(2, history.record(0, 8, 4));
  EXPECT_EQ(history.kinds(), AnomalyKinds{kNonMonotonicSend});
  EXPECT_EQ(history.check().text(),
            "non-monotonic send: #0 was over before #1 began, and yet came after it: 8 (#1, p-0@4) stands before 7 (#0, p-0@5)\n"
            "    #0 [0..1] client 1, ok: send 7 (key 1) to p-0, at offset 5\n"
            "    #1 [2..3] client 2, ok: send 8 (key 1) to p-0, at offset 4\n");
}

TEST(OrderChecker, SendsThatOverlapMayStandInAnyOrder) {
  PlantedHistory history;
  const OperationId first = history.recorder().invoke(1, history.record(0, 7, -1));
  history.send(2, history.record(0, 8, 4));
  history.recorder().ok(first, history.record(0, 7, 5));
  const OperationId second = history.recorder().invoke(1, history.record(0, 9, -1));
  history.send(2, history.record(0, 10, 7));
  history.recorder().ok(second, history.record(0, 9, 6));
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

// The client does not wait for the first answer.
TEST(OrderChecker, FindsPipelinedSendsInTheWrongOrder) {
  PlantedHistory history;
  const OperationId first = history.recorder().invoke(1, history.record(0, 7, -1));
  const OperationId second = history.recorder().invoke(1, history.record(0, 8, -1));
  history.recorder().ok(first, history.record(0, 7, 5));
  history.recorder().ok(second, history.record(0, 8, 4));
  EXPECT_EQ(history.kinds(), AnomalyKinds{kNonMonotonicSend});
}

TEST(OrderChecker, PipelinedSendsToTwoPartitionsHaveNoOrder) {
  PlantedHistory history;
  const OperationId first = history.recorder().invoke(1, history.record(0, 7, -1));
  const OperationId second = history.recorder().invoke(1, history.record(1, 8, -1));
  history.recorder().ok(second, history.record(1, 8, 0));
  history.recorder().ok(first, history.record(0, 7, 0));
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

// A send without an answer may be appended late, and the offset comes from a poll.
TEST(OrderChecker, ASendWithoutAnswerMayStandLate) {
  PlantedHistory history;
  history.send(1, history.record(0, 7, -1), Outcome::kUnknown);
  history.send(2, history.record(0, 8, 0));
  history.poll(3, {{0, 0, 2, {{0, 8}, {1, 7}}}});
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

TEST(OrderChecker, FindsASendWithoutAnswerThatStandsEarly) {
  PlantedHistory history;
  history.send(2, history.record(0, 8, 1));
  history.send(1, history.record(0, 7, -1), Outcome::kUnknown);
  history.poll(3, {{0, 0, 2, {{0, 7}, {1, 8}}}});
  EXPECT_EQ(history.kinds(), AnomalyKinds{kNonMonotonicSend});
}

// A poll showed a record, and what stands before it was sent only after that.
TEST(OrderChecker, FindsARecordThatSlipsInBeforeOneThatWasRead) {
  PlantedHistory history;
  const OperationId first = history.recorder().invoke(1, history.record(0, 7, -1));
  history.poll(2, {{0, 1, 2, {{1, 7}}}});
  history.send(3, history.record(0, 8, 0));
  history.recorder().ok(first, history.record(0, 7, 1));
  EXPECT_EQ(history.kinds(), AnomalyKinds{kReadCycle});
}

// --- Write cycles

// Two clients send to two partitions, one record after the other. `late`: the second answer of client 1 comes after the second
// client began.
void send_crosswise(PlantedHistory& history, const std::vector<Send>& one, const std::vector<Send>& other) {
  const OperationId first = history.recorder().invoke(1, one[0]);
  const OperationId second = history.recorder().invoke(2, other[0]);
  history.recorder().ok(first, one[0]);
  history.recorder().ok(second, other[0]);
  const OperationId third = history.recorder().invoke(1, one[1]);
  const OperationId fourth = history.recorder().invoke(2, other[1]);
  history.recorder().ok(third, one[1]);
  history.recorder().ok(fourth, other[1]);
}

// The transactions stand in two orders in the two partitions, and no interleaving of their sends explains it: client 1's first
// record comes after client 2's second one, which comes after client 2's first, which comes after client 1's second.
TEST(OrderChecker, FindsAWriteCycle) {
  PlantedHistory history;
  // All four overlap in time, so that only the programs of the clients contradict.
  const Send a1 = history.record(0, 1, 1), a2 = history.record(1, 2, 0), b1 = history.record(1, 3, 1),
             b2 = history.record(0, 4, 0);
  send_crosswise(history, {a1, a2}, {b1, b2});
  const auto kinds = history.kinds();
  EXPECT_EQ(kinds, AnomalyKinds{kWriteCycle});
}

// Elle calls this a cycle, too. But transactions of Kafka do not exclude one another, and this is what happens when each one
// sends its first record before the other sends its second one.
TEST(OrderChecker, TransactionsMayStandInTwoOrders) {
  PlantedHistory history;
  const Send a1 = history.record(0, 1, 0), a2 = history.record(1, 2, 1), b1 = history.record(1, 3, 0),
             b2 = history.record(0, 4, 1);
  send_crosswise(history, {a1, a2}, {b1, b2});
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

// --- Read cycles

// Transactions 1 and 2 each read what the other one wrote.
TEST(OrderChecker, FindsAReadCycle) {
  PlantedHistory history;
  const OperationId one = history.begin(1), other = history.begin(2);
  history.send(1, history.record(0, 7, 0, one));
  history.send(2, history.record(1, 8, 0, other));
  Poll first = history.poll_of({{1, 0, 1, {{0, 8}}}}), second = history.poll_of({{0, 0, 1, {{0, 7}}}});
  first.transaction = one;
  second.transaction = other;
  history.add(1, first);
  history.add(2, second);
  history.commit(1, one);
  history.commit(2, other);
  EXPECT_EQ(history.kinds(), (AnomalyKinds{kDirtyRead, kReadCycle}));
}

TEST(OrderChecker, TransactionsMayReadWhatAnEarlierOneWrote) {
  PlantedHistory history;
  const OperationId one = history.begin(1);
  history.send(1, history.record(0, 7, 0, one));
  history.commit(1, one);
  const OperationId other = history.begin(2);
  Poll poll = history.poll_of({{0, 0, 1, {{0, 7}}}});
  poll.transaction = other;
  history.add(2, poll);
  history.send(2, history.record(1, 8, 0, other));
  history.commit(2, other);
  history.poll(1, {{1, 0, 1, {{0, 8}}}});
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

// --- Fenced producers

// Client 2 takes the id of client 1 over, while client 1 has a transaction.
struct TakeOver {
  PlantedHistory history;
  OperationId init = history.init(1);
  OperationId transaction = history.begin(1, init);
  void take_over(const char* id = "id") { history.init(2, id); }
};

TEST(OrderChecker, FindsAWriteOfAFencedProducer) {
  TakeOver zombie;
  zombie.take_over();
  zombie.history.send(1, zombie.history.record(0, 7, 0, zombie.transaction));
  EXPECT_EQ(zombie.history.kinds(), AnomalyKinds{kFencedWrite});
}

// Its request was sent in time, arrived too late, and nobody answered it.
TEST(OrderChecker, FindsALateWriteOfAFencedProducer) {
  TakeOver zombie;
  zombie.history.send(1, zombie.history.record(0, 7, -1, zombie.transaction), Outcome::kUnknown);
  zombie.take_over();
  zombie.history.send(3, zombie.history.record(0, 8, 0));
  zombie.history.poll(4, {{0, 0, 2, {{0, 8}, {1, 7}}}}, Isolation::kReadUncommitted);
  EXPECT_EQ(zombie.history.kinds(), AnomalyKinds{kFencedWrite});
}

TEST(OrderChecker, AWriteMayComeBeforeItsProducerIsFenced) {
  TakeOver zombie;
  zombie.history.send(1, zombie.history.record(0, 7, -1, zombie.transaction), Outcome::kUnknown);
  zombie.take_over();
  zombie.history.send(3, zombie.history.record(0, 8, 1));
  zombie.history.poll(4, {{0, 0, 2, {{0, 7}, {1, 8}}}}, Isolation::kReadUncommitted);
  EXPECT_EQ(zombie.history.kinds(), AnomalyKinds{});
}

TEST(OrderChecker, AProducerOfAnotherIdFencesNobody) {
  TakeOver zombie;
  zombie.take_over("another");
  zombie.history.send(1, zombie.history.record(0, 7, 0, zombie.transaction));
  EXPECT_EQ(zombie.history.kinds(), AnomalyKinds{});
}

TEST(OrderChecker, FindsACommitOfAFencedProducer) {
  TakeOver zombie;
  zombie.history.send(1, zombie.history.record(0, 7, 0, zombie.transaction));
  zombie.take_over();
  zombie.history.commit(1, zombie.transaction);
  EXPECT_EQ(zombie.history.kinds(), AnomalyKinds{kFencedWrite});
}

TEST(OrderChecker, ACommitWithoutAnswerMayComeBeforeItsProducerIsFenced) {
  TakeOver zombie;
  zombie.history.send(1, zombie.history.record(0, 7, 0, zombie.transaction));
  zombie.history.commit(1, zombie.transaction, Outcome::kUnknown);
  zombie.take_over();
  zombie.history.poll(4, {{0, 0, 1, {{0, 7}}}});
  EXPECT_EQ(zombie.history.kinds(), AnomalyKinds{});
}

// Two clients ask at once: nobody knows which of them was first.
TEST(OrderChecker, ProducersThatAreInitializedTogetherHaveNoOrder) {
  PlantedHistory history;
  const NameId id = history.recorder().name("id");
  const OperationId one = history.recorder().invoke(1, InitProducer{id});
  const OperationId other = history.recorder().invoke(2, InitProducer{id});
  history.recorder().ok(one);
  history.recorder().ok(other);
  const OperationId transaction = history.begin(1, one);
  history.send(1, history.record(0, 7, 0, transaction));
  history.commit(1, transaction);
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

}  // namespace
}  // namespace weir::testing
