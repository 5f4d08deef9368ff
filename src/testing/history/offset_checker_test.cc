#include "testing/history/offset_checker.h"

#include <gtest/gtest.h>

#include "testing/history/history_fixture.h"

namespace weir::testing {
namespace {

using enum AnomalyKind;

// A group that commits offsets of partition 0.
class OffsetHistory : public PlantedHistory {
 public:
  OperationId commit_offset(int64_t offset, Outcome outcome = Outcome::kOk) {
    return add(1, CommitOffsets{group(), -1, {{partition(0), offset}}}, outcome);
  }
  OperationId fetch(int64_t offset, bool stable = true) {
    return add(2, FetchOffsets{group(), stable, {{partition(0), offset}}});
  }
  OperationId send_offset(uint32_t client, OperationId transaction, int64_t offset, Outcome outcome = Outcome::kOk) {
    return add(client, SendOffsets{transaction, group(), -1, {{partition(0), offset}}}, outcome);
  }
};

// --- Offsets that go back

TEST(OffsetChecker, FindsAnOffsetThatWentBack) {
  OffsetHistory history;
  history.commit_offset(3);
  history.commit_offset(5);
  history.fetch(3);
  EXPECT_EQ(history.kinds(), AnomalyKinds{kOffsetWentBack});
}

TEST(OffsetChecker, FindsAnOffsetThatIsGone) {
  OffsetHistory history;
  history.commit_offset(3);
  history.fetch(-1);
  EXPECT_EQ(history.kinds(), AnomalyKinds{kOffsetWentBack});
}

TEST(OffsetChecker, OffsetsMayRise) {
  OffsetHistory history;
  history.fetch(-1);
  history.commit_offset(3);
  history.fetch(3);
  history.commit_offset(5);
  history.fetch(5);
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

TEST(OffsetChecker, ACommitWithoutAnswerMayShowOrNot) {
  OffsetHistory shown, hidden;
  for (OffsetHistory* each : {&shown, &hidden}) {
    each->commit_offset(3);
    each->commit_offset(5, Outcome::kUnknown);
  }
  shown.fetch(5);
  hidden.fetch(3);
  EXPECT_EQ(shown.kinds(), AnomalyKinds{});
  EXPECT_EQ(hidden.kinds(), AnomalyKinds{});
}

TEST(OffsetChecker, FindsACommitWithoutAnswerThatShowedAndIsGone) {
  OffsetHistory history;
  history.commit_offset(3);
  history.commit_offset(5, Outcome::kUnknown);
  history.fetch(5);
  history.fetch(3);
  EXPECT_EQ(history.kinds(), AnomalyKinds{kOffsetWentBack});
}

TEST(OffsetChecker, AFetchMayOverlapTheCommit) {
  OffsetHistory history;
  history.commit_offset(3);
  const FetchOffsets fetch{history.group(), true, {{history.partition(0), 3}}};
  const OperationId id = history.recorder().invoke(2, fetch);
  history.commit_offset(5);
  history.recorder().ok(id, fetch);
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

// --- Offsets of transactions

TEST(OffsetChecker, FindsACommittedTransactionWithoutItsOffset) {
  OffsetHistory history;
  const OperationId transaction = history.begin(1);
  history.send_offset(1, transaction, 3);
  history.commit(1, transaction);
  history.fetch(-1);
  EXPECT_EQ(history.kinds(), AnomalyKinds{kOffsetWentBack});
}

// The broker may still have to write its markers.
TEST(OffsetChecker, AFetchOfUnstableOffsetsMayShowTheOldOne) {
  OffsetHistory history;
  const OperationId transaction = history.begin(1);
  history.send_offset(1, transaction, 3);
  history.commit(1, transaction);
  history.fetch(-1, false);
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

TEST(OffsetChecker, FindsOffsetsThatNobodyCommitted) {
  OffsetHistory nobody, refused, aborted, early;
  nobody.fetch(3);
  refused.commit_offset(3, Outcome::kFail);
  refused.fetch(3);
  const OperationId transaction = aborted.begin(1);
  aborted.send_offset(1, transaction, 3);
  aborted.abort(1, transaction);
  aborted.fetch(3);
  const OperationId unfinished = early.begin(1);
  early.send_offset(1, unfinished, 3);
  early.fetch(3);
  early.commit(1, unfinished);
  for (OffsetHistory* each : {&nobody, &refused, &aborted, &early}) EXPECT_EQ(each->kinds(), AnomalyKinds{kPhantomOffset});
}

// An aborted transaction is tried again.
TEST(OffsetChecker, AnOffsetMayBeOfTheSecondAttempt) {
  OffsetHistory history;
  const OperationId first = history.begin(1);
  history.send_offset(1, first, 3);
  history.abort(1, first);
  const OperationId second = history.begin(1);
  history.send_offset(1, second, 3);
  history.commit(1, second);
  history.fetch(3);
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

// --- Branches

// Processes record 7 of partition 0 into record 8 of partition 1. The commit has no answer.
struct ProcessingBranch {
  OffsetHistory history;
  OperationId transaction = kNoOperation;
  ProcessingBranch() {
    history.send(1, history.record(0, 7, 0));
    transaction = history.begin(1, kNoOperation, true);
    history.send(1, history.record(1, 8, 0, transaction, 7));
    history.send_offset(1, transaction, 1);
    history.commit(1, transaction, Outcome::kUnknown);
  }
};

TEST(OffsetChecker, ABranchIsVisibleAsAWhole) {
  ProcessingBranch committed, aborted;
  committed.history.read_all({{0, 0, 1, {{0, 7}}}, {1, 0, 2, {{0, 8}}}});
  committed.history.fetch(1);
  aborted.history.read_all({{0, 0, 1, {{0, 7}}}, {1, 0, 2}});
  aborted.history.fetch(-1);
  EXPECT_EQ(committed.history.kinds(), AnomalyKinds{});
  EXPECT_EQ(aborted.history.kinds(), AnomalyKinds{});
}

TEST(OffsetChecker, FindsAnOffsetWithoutItsOutput) {
  ProcessingBranch torn;
  torn.history.fetch(1);
  torn.history.read_all({{0, 0, 1, {{0, 7}}}, {1, 0, 2}});
  EXPECT_EQ(torn.history.kinds(), AnomalyKinds{kLostWrite});
}

TEST(OffsetChecker, FindsAnOutputWithoutItsOffset) {
  ProcessingBranch torn;
  torn.history.read_all({{0, 0, 1, {{0, 7}}}, {1, 0, 2, {{0, 8}}}});
  torn.history.fetch(-1);
  EXPECT_EQ(torn.history.kinds(), (AnomalyKinds{kOffsetWentBack, kOutputUncommitted}));
}

// --- Exactly once

// A transaction that processes record `value` into `output` and commits offset `next`.
void process(OffsetHistory& history, uint64_t value, const Send& output, int64_t next) {
  const OperationId transaction = history.begin(1, kNoOperation, true);
  Send send = output;
  send.transaction = transaction;
  send.cause = value;
  history.send(1, send);
  history.send_offset(1, transaction, next);
  history.commit(1, transaction);
}

TEST(ExactlyOnce, EachRecordHasOneOutput) {
  OffsetHistory history;
  history.send(1, history.record(0, 7, 0));
  history.send(1, history.record(0, 8, 1));
  process(history, 7, history.record(1, 17, 0), 1);
  process(history, 8, history.record(1, 18, 2), 2);
  history.read_all({{0, 0, 2, {{0, 7}, {1, 8}}}, {1, 0, 4, {{0, 17}, {2, 18}}}});
  history.fetch(2);
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

TEST(ExactlyOnce, FindsARecordThatIsProcessedTwice) {
  OffsetHistory history;
  history.send(1, history.record(0, 7, 0));
  process(history, 7, history.record(1, 17, 0), 1);
  process(history, 7, history.record(1, 18, 2), 1);
  history.read_all({{0, 0, 1, {{0, 7}}}, {1, 0, 4, {{0, 17}, {2, 18}}}});
  history.fetch(1);
  EXPECT_EQ(history.kinds(), AnomalyKinds{kProcessedTwice});
}

TEST(ExactlyOnce, ARecordMayBeTriedTwice) {
  OffsetHistory history;
  history.send(1, history.record(0, 7, 0));
  const OperationId first = history.begin(1, kNoOperation, true);
  history.send(1, history.record(1, 16, 0, first, 7));
  history.send_offset(1, first, 1);
  history.abort(1, first);
  process(history, 7, history.record(1, 17, 2), 1);
  history.read_all({{0, 0, 1, {{0, 7}}}, {1, 0, 4, {{2, 17}}}});
  history.fetch(1);
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

TEST(ExactlyOnce, FindsARecordThatIsLeftOut) {
  OffsetHistory history;
  history.send(1, history.record(0, 7, 0));
  history.send(1, history.record(0, 8, 1));
  process(history, 8, history.record(1, 18, 0), 2);
  history.read_all({{0, 0, 2, {{0, 7}, {1, 8}}}, {1, 0, 2, {{0, 18}}}});
  history.fetch(2);
  EXPECT_EQ(history.kinds(), AnomalyKinds{kOutputMissing});
}

TEST(ExactlyOnce, TheRestMayWait) {
  OffsetHistory history;
  history.send(1, history.record(0, 7, 0));
  history.send(1, history.record(0, 8, 1));
  process(history, 7, history.record(1, 17, 0), 1);
  history.read_all({{0, 0, 2, {{0, 7}, {1, 8}}}, {1, 0, 2, {{0, 17}}}});
  history.fetch(1);
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
}

// A group whose outputs nobody has read to the end proves nothing.
TEST(ExactlyOnce, NeedsCompleteReads) {
  OffsetHistory history;
  history.send(1, history.record(0, 7, 0));
  const OperationId transaction = history.begin(1, kNoOperation, true);
  history.send_offset(1, transaction, 1);
  history.commit(1, transaction);
  history.fetch(1);
  EXPECT_EQ(history.kinds(), AnomalyKinds{});
  history.read_all({{0, 0, 1, {{0, 7}}}});
  history.fetch(1);
  EXPECT_EQ(history.kinds(), AnomalyKinds{kOutputMissing});
}

}  // namespace
}  // namespace weir::testing
