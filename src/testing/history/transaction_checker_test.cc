// Each anomaly in a planted history that the checker has to find, beside a near miss in which it has to find nothing.
#include "testing/history/transaction_checker.h"

#include <gtest/gtest.h>

#include "testing/history/history_fixture.h"

namespace weir::testing {
namespace {

using enum AnomalyKind;

constexpr auto kUncommitted = Isolation::kReadUncommitted;

TEST(TransactionChecker, EmptyHistoryIsClean) { EXPECT_TRUE(PlantedHistory().check().clean()); }

// --- Phantoms

TEST(TransactionChecker, FindsARecordThatNobodySent) {
  PlantedHistory history;
  history.poll(2, {{0, 0, 1, {{0, 7}}}});
  EXPECT_EQ(history.kinds(), AnomalyKinds{kPhantom});
}

TEST(TransactionChecker, FindsARefusedRecord) {
  PlantedHistory history;
  history.send(1, history.record(0, 7, -1), Outcome::kFail);
  history.poll(2, {{0, 0, 1, {{0, 7}}}}, kUncommitted);
  EXPECT_EQ(history.kinds(), AnomalyKinds{kPhantom});
}

TEST(TransactionChecker, ARecordWithoutAnAnswerMayShow) {
  PlantedHistory history;
  history.send(1, history.record(0, 7, -1), Outcome::kUnknown);
  history.poll(2, {{0, 0, 1, {{0, 7}}}});
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

TEST(TransactionChecker, FindsARecordInAnotherPartition) {
  PlantedHistory history;
  history.send(1, history.record(0, 7, -1), Outcome::kUnknown);
  history.poll(2, {{1, 0, 1, {{0, 7}}}});
  EXPECT_EQ(history.kinds(), AnomalyKinds{kPhantom});
}

TEST(TransactionChecker, FindsARecordWithAnotherKey) {
  PlantedHistory history;
  Send send = history.record(0, 7, 0);
  send.key = 2;
  history.send(1, send);
  history.poll(2, {{0, 0, 0, {{0, 7}}}});
  EXPECT_EQ(history.kinds(), AnomalyKinds{kPhantom});
}

TEST(TransactionChecker, FindsARecordBeforeItWasSent) {
  PlantedHistory history;
  history.poll(2, {{0, 0, 1, {{0, 7}}}});
  history.send(1, history.record(0, 7, 0));
  EXPECT_EQ(history.kinds(), AnomalyKinds{kPhantom});
}

TEST(TransactionChecker, ASendMayShowBeforeItIsAnswered) {
  PlantedHistory history;
  const OperationId send = history.recorder().invoke(1, history.record(0, 7, -1));
  history.poll(2, {{0, 0, 1, {{0, 7}}}});
  history.recorder().ok(send, history.record(0, 7, 0));
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

// --- Transactions that did not commit

struct OneTransaction {
  PlantedHistory history;
  OperationId transaction = history.begin(1);
  OperationId send = history.send(1, history.record(0, 7, 0, transaction));
  void poll(Isolation isolation = Isolation::kReadCommitted) { history.poll(2, {{0, 0, 1, {{0, 7}}}}, isolation); }
};

TEST(TransactionChecker, FindsReadsOfAbortedTransactions) {
  OneTransaction with_abort, with_failed_commit, without_end;
  with_abort.history.abort(1, with_abort.transaction);
  with_abort.poll();
  with_failed_commit.history.commit(1, with_failed_commit.transaction, Outcome::kFail);
  with_failed_commit.poll();
  without_end.poll();
  for (OneTransaction* each : {&with_abort, &with_failed_commit, &without_end}) {
    EXPECT_EQ(each->history.kinds(), AnomalyKinds{kAbortedRead});
  }
}

TEST(TransactionChecker, UncommittedReadsMayShowAbortedTransactions) {
  OneTransaction aborted, unfinished;
  aborted.history.abort(1, aborted.transaction);
  aborted.poll(kUncommitted);
  unfinished.poll(kUncommitted);
  EXPECT_EQ(aborted.history.kinds(), AnomalyKinds{});
  EXPECT_EQ(unfinished.history.kinds(), AnomalyKinds{});
}

TEST(TransactionChecker, FindsReadsBeforeTheCommitWasAskedFor) {
  OneTransaction early;
  early.poll();
  early.history.commit(1, early.transaction);
  EXPECT_EQ(early.history.kinds(), AnomalyKinds{kDirtyRead});
}

TEST(TransactionChecker, ReadsMayComeBeforeTheCommitIsAnswered) {
  OneTransaction running;
  const OperationId commit = running.history.recorder().invoke(1, EndTransaction{running.transaction, true});
  running.poll();
  running.history.recorder().ok(commit);
  EXPECT_EQ(running.history.kinds(), AnomalyKinds{});
}

// A producer that reads its own records.
TEST(TransactionChecker, FindsReadsWithinTheTransaction) {
  PlantedHistory history;
  const OperationId transaction = history.begin(1);
  history.send(1, history.record(0, 7, 0, transaction));
  Poll poll = history.poll_of({{0, 0, 1, {{0, 7}}}});
  poll.transaction = transaction;
  history.add(1, poll);
  history.commit(1, transaction);
  EXPECT_EQ(history.kinds(), AnomalyKinds{kDirtyRead});
}

TEST(TransactionChecker, ExplainsWhatItFinds) {
  OneTransaction aborted;
  aborted.history.commit(1, aborted.transaction, Outcome::kFail);
  aborted.poll();
  EXPECT_EQ(aborted.history.check().text(),
            "aborted read (G1a): poll #3 shows 7 at p-0@0. #1 sent it in transaction #0, whose commit #2 failed\n"
            "    #0 [0..1] client 1, ok: begin a transaction\n"
            "    #1 [2..3] client 1, ok: send 7 (key 1) to p-0 in #0, at offset 0\n"
            "    #2 [4..5] client 1, failed: commit transaction #0\n"
            "    #3 [6..7] client 2, ok: poll committed; p-0 0..1: 7@0\n");
}

// --- Branches

// A transaction of two records in two partitions, with a commit without an answer.
struct Branch {
  PlantedHistory history;
  OperationId transaction = history.begin(1);
  Branch() {
    history.send(1, history.record(0, 7, 0, transaction));
    history.send(1, history.record(1, 8, 0, transaction));
    history.commit(1, transaction, Outcome::kUnknown);
  }
};

TEST(TransactionChecker, ACommitWithoutAnswerMayBeVisible) {
  Branch branch;
  branch.history.read_all({{0, 0, 2, {{0, 7}}}, {1, 0, 2, {{0, 8}}}});
  EXPECT_EQ(branch.history.kinds(), AnomalyKinds{});
}

TEST(TransactionChecker, ACommitWithoutAnswerMayBeInvisible) {
  Branch branch;
  branch.history.read_all({{0, 0, 2}, {1, 0, 2}});
  EXPECT_EQ(branch.history.kinds(), AnomalyKinds{});
}

TEST(TransactionChecker, FindsATornBranch) {
  Branch branch;
  branch.history.read_all({{0, 0, 2, {{0, 7}}}, {1, 0, 2}});
  EXPECT_EQ(branch.history.kinds(), AnomalyKinds{kIntermediateRead});
}

// One consumer decides the branch for all others.
TEST(TransactionChecker, FindsABranchThatWasDecidedAndIsLost) {
  Branch branch;
  branch.history.poll(2, {{0, 0, 2, {{0, 7}}}});
  branch.history.read_all({{0, 0, 2}, {1, 0, 2}});
  EXPECT_EQ(branch.history.kinds(), AnomalyKinds{kLostWrite});
}

TEST(TransactionChecker, ASendWithoutAnswerMayMissInACommittedTransaction) {
  PlantedHistory history;
  const OperationId transaction = history.begin(1);
  history.send(1, history.record(0, 7, 0, transaction));
  history.send(1, history.record(0, 8, -1, transaction), Outcome::kUnknown);
  history.commit(1, transaction);
  history.read_all({{0, 0, 2, {{0, 7}}}});
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

// --- Lost records

TEST(TransactionChecker, FindsLostRecords) {
  PlantedHistory plain, committed, seen, without_offset;
  plain.send(1, plain.record(0, 7, 0));
  plain.read_all({{0, 0, 0}});
  const OperationId transaction = committed.begin(1);
  committed.send(1, committed.record(0, 7, 0, transaction));
  committed.commit(1, transaction);
  committed.read_all({{0, 0, 2}});
  seen.send(1, seen.record(0, 7, -1), Outcome::kUnknown);
  seen.poll(2, {{0, 0, 1, {{0, 7}}}});
  seen.read_all({{0, 0, 0}});
  without_offset.send(1, without_offset.record(0, 7, -1));
  without_offset.read_all({{0, 0, 0}});
  for (PlantedHistory* each : {&plain, &committed, &seen, &without_offset}) EXPECT_EQ(each->kinds(), AnomalyKinds{kLostWrite});
}

TEST(TransactionChecker, RecordsMayMissThatWereSentAfterTheReadBegan) {
  PlantedHistory history;
  Poll poll = history.poll_of({{0, 0, 0}});
  poll.complete = true;
  const OperationId id = history.recorder().invoke(2, poll);
  history.send(1, history.record(0, 7, 0));
  history.recorder().ok(id);
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

TEST(TransactionChecker, RecordsMayMissWithoutACompleteRead) {
  PlantedHistory history;
  history.send(1, history.record(0, 7, 0));
  history.poll(2, {{0, 0, 0}});
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

// --- Offsets

TEST(TransactionChecker, FindsDuplicates) {
  PlantedHistory history;
  history.send(1, history.record(0, 7, 0));
  history.poll(2, {{0, 0, 2, {{0, 7}, {1, 7}}}});
  EXPECT_EQ(history.kinds(), AnomalyKinds{kDuplicate});
}

TEST(TransactionChecker, FindsAnAnswerWithAnotherOffset) {
  PlantedHistory history;
  history.send(1, history.record(0, 7, 5));
  history.poll(2, {{0, 0, 2, {{1, 7}}}});
  EXPECT_EQ(history.kinds(), AnomalyKinds{kDuplicate});
}

TEST(TransactionChecker, TwoConsumersMayReadTheSameRecord) {
  PlantedHistory history;
  history.send(1, history.record(0, 7, 0));
  history.poll(2, {{0, 0, 1, {{0, 7}}}});
  history.poll(3, {{0, 0, 1, {{0, 7}}}});
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

TEST(TransactionChecker, FindsReusedOffsets) {
  PlantedHistory history;
  history.send(1, history.record(0, 7, 0));
  history.send(1, history.record(0, 8, 0));
  EXPECT_EQ(history.kinds(), AnomalyKinds{kOffsetReused});
}

TEST(TransactionChecker, OneOffsetMayBeUsedInTwoPartitions) {
  PlantedHistory history;
  history.send(1, history.record(0, 7, 0));
  history.send(1, history.record(1, 8, 0));
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

// --- Skips

// Records 7, 8, 9 at offsets 0, 1, 2.
struct ThreeRecords {
  PlantedHistory history;
  ThreeRecords() {
    for (int64_t offset = 0; offset < 3; ++offset) history.send(1, history.record(0, 7 + static_cast<uint64_t>(offset), offset));
  }
};

TEST(TransactionChecker, FindsASkipInsideAPoll) {
  for (const Isolation isolation : {Isolation::kReadCommitted, kUncommitted}) {
    ThreeRecords log;
    log.history.poll(2, {{0, 0, 3, {{0, 7}, {2, 9}}}}, isolation);
    EXPECT_EQ(log.history.kinds(), AnomalyKinds{kPollSkip});
  }
}

TEST(TransactionChecker, FindsASkipAtTheEndOfAPoll) {
  ThreeRecords log;
  log.history.poll(2, {{0, 0, 3, {{0, 7}, {1, 8}}}});
  EXPECT_EQ(log.history.kinds(), AnomalyKinds{kPollSkip});
}

TEST(TransactionChecker, APollMayEndEarly) {
  ThreeRecords log;
  log.history.poll(2, {{0, 0, 2, {{0, 7}, {1, 8}}}});
  EXPECT_EQ(log.history.kinds(), AnomalyKinds{});
}

TEST(TransactionChecker, FindsASkipBetweenPolls) {
  ThreeRecords log;
  log.history.poll(2, {{0, 0, 1, {{0, 7}}}});
  log.history.poll(2, {{0, 2, 3, {{2, 9}}}});
  EXPECT_EQ(log.history.kinds(), AnomalyKinds{kPollSkip});
}

TEST(TransactionChecker, AnAssignmentMayMoveTheConsumer) {
  ThreeRecords log;
  log.history.poll(2, {{0, 0, 1, {{0, 7}}}});
  log.history.add(2, Assigned{kNoName, -1, {log.history.partition(0)}});
  log.history.poll(2, {{0, 2, 3, {{2, 9}}}});
  log.history.add(2, Assigned{kNoName, -1, {log.history.partition(0)}});
  log.history.poll(2, {{0, 0, 1, {{0, 7}}}});
  EXPECT_EQ(log.history.kinds(), AnomalyKinds{});
}

// Between and inside polls there are offsets of markers and of aborted records.
TEST(TransactionChecker, PollsMayPassAbortedRecordsAndMarkers) {
  PlantedHistory history;
  const OperationId transaction = history.begin(1);
  history.send(1, history.record(0, 7, 0, transaction));
  history.send(1, history.record(0, 8, 2, transaction));
  history.abort(1, transaction);
  history.send(1, history.record(0, 9, 4));
  history.poll(2, {{0, 0, 1}});
  history.poll(2, {{0, 3, 5, {{4, 9}}}});
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

TEST(TransactionChecker, FindsASkipOfAnAbortedRecordInAnUncommittedPoll) {
  PlantedHistory history;
  const OperationId transaction = history.begin(1);
  history.send(1, history.record(0, 7, 0, transaction));
  history.abort(1, transaction);
  history.poll(2, {{0, 0, 1}}, kUncommitted);
  EXPECT_EQ(history.kinds(), AnomalyKinds{kPollSkip});
}

TEST(TransactionChecker, FindsAPartOfATransactionInAPoll) {
  PlantedHistory history;
  const OperationId transaction = history.begin(1);
  history.send(1, history.record(0, 7, 0, transaction));
  history.send(1, history.record(0, 8, 1, transaction));
  history.commit(1, transaction);
  history.poll(2, {{0, 0, 2, {{1, 8}}}});
  EXPECT_EQ(history.kinds(), AnomalyKinds{kIntermediateRead});
}

TEST(TransactionChecker, APollMayEndWithinATransaction) {
  PlantedHistory history;
  const OperationId transaction = history.begin(1);
  history.send(1, history.record(0, 7, 0, transaction));
  history.send(1, history.record(0, 8, 1, transaction));
  history.commit(1, transaction);
  history.poll(2, {{0, 0, 1, {{0, 7}}}});
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

// The end of stable offsets is behind every open transaction: a record that becomes visible later was passed too early.
TEST(TransactionChecker, FindsAPollThatPassesAnOpenTransaction) {
  PlantedHistory history;
  const OperationId transaction = history.begin(1);
  history.send(1, history.record(0, 7, 0, transaction));
  history.send(2, history.record(0, 8, 1));
  history.poll(3, {{0, 0, 2, {{1, 8}}}});
  history.commit(1, transaction);
  EXPECT_EQ(history.kinds(), AnomalyKinds{kPollSkip});
}

// --- Order of polls

TEST(TransactionChecker, FindsDescendingOffsetsInAPoll) {
  ThreeRecords log;
  log.history.poll(2, {{0, 0, 3, {{1, 8}, {0, 7}, {2, 9}}}});
  EXPECT_EQ(log.history.kinds(), AnomalyKinds{kNonMonotonicPoll});
}

TEST(TransactionChecker, FindsRecordsThatAreShownAgain) {
  ThreeRecords log;
  log.history.poll(2, {{0, 0, 2, {{0, 7}, {1, 8}}}});
  log.history.poll(2, {{0, 2, 3, {{1, 8}, {2, 9}}}});
  EXPECT_EQ(log.history.kinds(), AnomalyKinds{kNonMonotonicPoll});
}

TEST(TransactionChecker, OtherConsumersAndPartitionsHaveTheirOwnOrder) {
  ThreeRecords log;
  log.history.send(1, log.history.record(1, 20, 0));
  log.history.poll(2, {{0, 0, 2, {{0, 7}, {1, 8}}}});
  log.history.poll(2, {{1, 0, 1, {{0, 20}}}});
  log.history.poll(3, {{0, 0, 2, {{0, 7}, {1, 8}}}});
  log.history.poll(2, {{0, 2, 3, {{2, 9}}}});
  EXPECT_EQ(log.history.kinds(), AnomalyKinds{});
}

// --- The report

TEST(TransactionChecker, CountsWhatItDoesNotKeep) {
  PlantedHistory history;
  for (uint64_t value = 1; value <= 30; ++value) history.poll(static_cast<uint32_t>(value), {{0, 0, 1, {{0, value}}}});
  const Report report = history.check();
  EXPECT_EQ(report.anomalies().size(), 8u);
  EXPECT_EQ(report.count(kPhantom), 30u);
  EXPECT_NE(report.text().find("phantom: 22 more"), std::string::npos);
}

}  // namespace
}  // namespace weir::testing
