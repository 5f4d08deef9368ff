#include "storage/log/transaction_guards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/manual_loop.h"

namespace weir::storage {
namespace {

using protocol::ErrorCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TransactionGuardsTest : public ::testing::Test {
 protected:
  Verification guard(TransactionalBatch batch, int64_t now_ms = 100) { return guards_.guard(id_, batch, now_ms); }
  void answer(GuardSerial serial, ErrorCode error = ErrorCode::kNone) {
    AppendResult result;
    result.error = error;
    guards_.answered(serial, result);
  }
  void wait_for(GuardSerial serial) {
    guards_.when_answered(serial, [this](const AppendResult& result) { told_.push_back(result.error); });
  }
  static BatchInfo data(int64_t producer, int16_t epoch, int32_t sequence = 0) {
    BatchInfo info;
    info.attributes = BatchInfo::kTransactional;
    info.producer_id = producer;
    info.producer_epoch = epoch;
    info.base_sequence = sequence;
    return info;
  }
  static BatchInfo marker(int64_t producer, int16_t epoch) {
    BatchInfo info = data(producer, epoch, kNoSequence);
    info.attributes |= BatchInfo::kControl;
    return info;
  }
  bool verified(const BatchInfo& info, GuardSerial serial) const { return guards_.state(id_, info, serial).verified; }

  weir::testing::ManualLoop world_;
  TransactionGuards guards_{world_.loop(), 4};
  const PartitionId id_{Uuid::from_random(1, 2), 0};
  std::vector<ErrorCode> told_;
};

TEST_F(TransactionGuardsTest, IsAskedForOnceAndLetsBatchesPassOnceItIsVerified) {
  const Verification first = guard({7, 3, 10, 1});
  EXPECT_TRUE(first.ask);
  const Verification second = guard({7, 3, 12, 1});
  EXPECT_FALSE(second.ask);
  EXPECT_EQ(second.guard, first.guard);
  wait_for(first.guard);
  wait_for(first.guard);
  EXPECT_THAT(told_, IsEmpty());
  EXPECT_FALSE(verified(data(7, 3), first.guard));
  answer(first.guard);
  EXPECT_THAT(told_, ElementsAre(ErrorCode::kNone, ErrorCode::kNone));
  EXPECT_TRUE(verified(data(7, 3), first.guard));
  EXPECT_FALSE(verified(data(7, 3), kNoGuard));
  EXPECT_FALSE(verified(data(7, 3), first.guard + 1));
  EXPECT_FALSE(verified(data(7, 4), first.guard));
  EXPECT_FALSE(verified(data(8, 3), first.guard));
  wait_for(first.guard);
  EXPECT_EQ(told_.size(), 3u) << "at once";
  EXPECT_FALSE(guard({7, 3, 13, 1}).ask);
}

TEST_F(TransactionGuardsTest, GoesWithTheFirstBatch) {
  const GuardSerial serial = guard({7, 3, 0, 1}).guard;
  const GuardSerial other = guard({8, 3, 0, 1}).guard;
  answer(serial);
  guards_.appended(id_, data(7, 3));
  EXPECT_FALSE(verified(data(7, 3), serial));
  EXPECT_EQ(guards_.size(), 1u);
  answer(other);
  EXPECT_TRUE(verified(data(8, 3), other)) << "of another producer";
  EXPECT_NE(guard({7, 3, 0, 1}).guard, serial);
}

// Verified, aborted, and the answer comes late.
TEST_F(TransactionGuardsTest, GoesWithAMarker) {
  const GuardSerial serial = guard({7, 3, 0, 1}).guard;
  wait_for(serial);
  guards_.appended(id_, marker(7, 3));
  EXPECT_THAT(told_, IsEmpty()) << "not within the append";
  world_.run();
  EXPECT_THAT(told_, ElementsAre(ErrorCode::kNone)) << "for the log to refuse";
  const GuardSerial next = guard({7, 3, 0, 1}).guard;
  EXPECT_NE(next, serial);
  answer(serial);
  EXPECT_FALSE(verified(data(7, 3), next));
}

TEST_F(TransactionGuardsTest, OfTheNextTransactionStaysWhereEachHasItsEpoch) {
  const GuardSerial before = guard({7, 3, 0, 2}).guard;
  const GuardSerial next = guard({7, 4, 0, 2}).guard;
  guards_.appended(id_, marker(7, 4));
  answer(before);
  answer(next);
  EXPECT_FALSE(verified(data(7, 3), before));
  EXPECT_TRUE(verified(data(7, 4), next));
}

TEST_F(TransactionGuardsTest, ABatchOfTheNextEpochEndsEarlierGuardsOnly) {
  const GuardSerial before = guard({7, 3, 0, 1}).guard;
  const GuardSerial own = guard({7, 4, 0, 1}).guard;
  const GuardSerial later = guard({7, 5, 0, 1}).guard;
  for (const GuardSerial each : {before, own, later}) answer(each);
  guards_.appended(id_, data(7, 4));
  EXPECT_FALSE(verified(data(7, 3), before));
  EXPECT_FALSE(verified(data(7, 4), own));
  EXPECT_TRUE(verified(data(7, 5), later));
}

TEST_F(TransactionGuardsTest, BatchesOutsideOfTransactionsLeaveItAlone) {
  const GuardSerial serial = guard({7, 3, 0, 1}).guard;
  answer(serial);
  BatchInfo plain = data(7, 3);
  plain.attributes = 0;
  guards_.appended(id_, plain);
  EXPECT_TRUE(verified(data(7, 3), serial));
}

TEST_F(TransactionGuardsTest, KnowsTheLowestSequenceOfItsEpoch) {
  EXPECT_EQ(guards_.state(id_, data(7, 3), kNoGuard).lowest_sequence, std::nullopt);
  guard({7, 3, 10, 1});
  guard({7, 3, 5, 1});
  guard({7, 3, 8, 1});
  guard({7, 4, 2, 2});
  EXPECT_EQ(guards_.state(id_, data(7, 3), kNoGuard).lowest_sequence, 5);
  EXPECT_FALSE(guards_.state(id_, data(7, 3), kNoGuard).epoch_per_transaction);
  EXPECT_EQ(guards_.state(id_, data(7, 4), kNoGuard).lowest_sequence, 2);
  EXPECT_TRUE(guards_.state(id_, data(7, 4), kNoGuard).epoch_per_transaction);
}

// A batch that came later must not be appended before those that are sent again.
TEST_F(TransactionGuardsTest, ARefusalThatIsTriedAgainLeavesTheLowestSequence) {
  for (const ErrorCode later : {ErrorCode::kNotEnoughReplicas, ErrorCode::kConcurrentTransactions}) {
    told_.clear();
    const Verification first = guard({7, 3, 5, 1});
    EXPECT_TRUE(first.ask);
    wait_for(first.guard);
    answer(first.guard, later);
    EXPECT_THAT(told_, ElementsAre(later));
    EXPECT_FALSE(verified(data(7, 3), first.guard));
    EXPECT_EQ(guards_.state(id_, data(7, 3), kNoGuard).lowest_sequence, 5);
  }
  EXPECT_TRUE(guard({7, 3, 9, 1}).ask) << "once more";
  EXPECT_EQ(guards_.state(id_, data(7, 3), kNoGuard).lowest_sequence, 5);
}

TEST_F(TransactionGuardsTest, AnyOtherRefusalEndsIt) {
  const GuardSerial serial = guard({7, 3, 5, 1}).guard;
  wait_for(serial);
  answer(serial, ErrorCode::kInvalidTxnState);
  EXPECT_THAT(told_, ElementsAre(ErrorCode::kInvalidTxnState));
  EXPECT_EQ(guards_.size(), 0u);
  answer(serial);
  EXPECT_FALSE(verified(data(7, 3), serial));
}

TEST_F(TransactionGuardsTest, ThoseOfAPartitionGoTogether) {
  const PartitionId other{id_.topic, 1};
  const GuardSerial serial = guard({7, 3, 0, 1}).guard;
  guard({8, 3, 0, 1});
  const GuardSerial kept = guards_.guard(other, {7, 3, 0, 1}, 100).guard;
  wait_for(serial);
  guards_.forget(id_);
  world_.run();
  EXPECT_THAT(told_, ElementsAre(ErrorCode::kNone));
  EXPECT_EQ(guards_.size(), 1u);
  answer(kept);
  EXPECT_TRUE(guards_.state(other, data(7, 3), kept).verified);
}

TEST_F(TransactionGuardsTest, AtTheBoundTheOldestGoesThatNobodyWaitsFor) {
  std::vector<GuardSerial> serials;
  for (int64_t producer = 0; producer < 4; ++producer) serials.push_back(guard({producer, 0, 0, 1}).guard);
  answer(serials[1]);
  answer(serials[2], ErrorCode::kNotEnoughReplicas);
  guard({10, 0, 0, 1});
  EXPECT_FALSE(verified(data(1, 0), serials[1]));
  EXPECT_EQ(guards_.state(id_, data(2, 0), kNoGuard).lowest_sequence, 0);
  guard({11, 0, 0, 1});
  EXPECT_EQ(guards_.state(id_, data(2, 0), kNoGuard).lowest_sequence, std::nullopt);
  EXPECT_EQ(guards_.size(), 4u);
  guard({12, 0, 0, 1});
  EXPECT_EQ(guards_.size(), 5u) << "answers are awaited for all of them";
}

TEST_F(TransactionGuardsTest, OldOnesGoUnlessAnAnswerIsAwaited) {
  answer(guard({1, 0, 0, 1}, 100).guard, ErrorCode::kNotEnoughReplicas);
  answer(guard({2, 0, 0, 1}, 200).guard, ErrorCode::kNotEnoughReplicas);
  guard({3, 0, 0, 1}, 50);
  guards_.expire(200);
  EXPECT_EQ(guards_.size(), 2u);
  EXPECT_EQ(guards_.state(id_, data(1, 0), kNoGuard).lowest_sequence, std::nullopt);
}

}  // namespace
}  // namespace weir::storage
