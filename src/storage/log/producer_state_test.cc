#include "storage/log/producer_state.h"

#include <gtest/gtest.h>

#include <limits>

namespace weir::storage {
namespace {

BatchInfo batch(int64_t offset, int32_t sequence, int32_t count, int16_t epoch = 0, int64_t producer = 7) {
  BatchInfo info;
  info.base_offset = offset;
  info.last_offset_delta = count - 1;
  info.producer_id = producer;
  info.producer_epoch = epoch;
  info.base_sequence = sequence;
  return info;
}

TEST(ProducerState, AcceptsTheNextSequenceOnly) {
  ProducerState state;
  EXPECT_EQ(state.check(batch(0, 0, 3)).check, ProducerCheck::kAccept);
  state.update(batch(0, 0, 3), 1);
  EXPECT_EQ(state.check(batch(3, 3, 1)).check, ProducerCheck::kAccept);
  EXPECT_EQ(state.check(batch(3, 4, 1)).check, ProducerCheck::kOutOfOrder);
  EXPECT_EQ(state.check(batch(3, 2, 1)).check, ProducerCheck::kOutOfOrder);
}

TEST(ProducerState, AnswersTheLastFiveBatchesAsDuplicates) {
  ProducerState state;
  for (int i = 0; i < 6; ++i) state.update(batch(i * 10, i * 2, 2), i);
  EXPECT_EQ(state.check(batch(99, 0, 2)).check, ProducerCheck::kOutOfOrder);  // the sixth is forgotten
  for (int i = 1; i < 6; ++i) {
    const auto verdict = state.check(batch(99, i * 2, 2));
    ASSERT_EQ(verdict.check, ProducerCheck::kDuplicate);
    EXPECT_EQ(verdict.original.last_offset - verdict.original.offset_delta, i * 10);
  }
  EXPECT_EQ(state.check(batch(99, 4, 1)).check, ProducerCheck::kOutOfOrder);  // same start, other length
}

TEST(ProducerState, NewEpochStartsAtZeroAndFencesTheOld) {
  ProducerState state;
  state.update(batch(0, 0, 5), 1);
  EXPECT_EQ(state.check(batch(5, 5, 1, 1)).check, ProducerCheck::kOutOfOrder);
  EXPECT_EQ(state.check(batch(5, 0, 1, 1)).check, ProducerCheck::kAccept);
  state.update(batch(5, 0, 1, 1), 2);
  EXPECT_EQ(state.check(batch(6, 5, 1, 0)).check, ProducerCheck::kStaleEpoch);
  EXPECT_EQ(state.find(7)->batches.size(), 1u);
}

TEST(ProducerState, SequencesWrap) {
  constexpr int32_t kMax = std::numeric_limits<int32_t>::max();
  EXPECT_EQ(sequence_after(kMax, 1), 0);
  ProducerState state;
  state.update(batch(0, kMax - 1, 4), 1);  // kMax-1, kMax, 0, 1
  EXPECT_EQ(state.find(7)->batches.back().last_sequence, 1);
  EXPECT_EQ(state.check(batch(4, 2, 1)).check, ProducerCheck::kAccept);
}

TEST(ProducerState, ExpiryForgetsIdleProducersWithoutTransaction) {
  ProducerState state;
  state.update(batch(0, 0, 1, 0, 1), 100);
  state.update(batch(1, 0, 1, 0, 2), 200);
  ProducerEntry open;
  open.producer_id = 3;
  open.last_timestamp = 50;
  open.transaction_first_offset = 5;
  state.restore({open});
  EXPECT_EQ(state.expire(150), (std::vector<int64_t>{1}));
  EXPECT_EQ(state.size(), 2u);
  EXPECT_EQ(state.evict(), 2);
  EXPECT_EQ(state.evict(), std::nullopt);
  EXPECT_NE(state.find(3), nullptr);
}

TEST(ProducerState, ATransactionIsOpenFromItsFirstBatchToItsMarker) {
  ProducerState state;
  const auto transactional = [](int64_t offset, int32_t sequence) {
    BatchInfo info = batch(offset, sequence, 1);
    info.attributes = BatchInfo::kTransactional;
    return info;
  };
  BatchInfo marker = transactional(12, kNoSequence);
  marker.attributes |= BatchInfo::kControl;
  marker.control_type = BatchInfo::kCommit;
  marker.coordinator_epoch = 4;
  state.update(batch(9, 0, 1), 1);
  EXPECT_EQ(state.find(7)->transaction_first_offset, -1);
  state.update(transactional(10, 1), 1);
  state.update(transactional(11, 2), 1);
  EXPECT_EQ(state.find(7)->transaction_first_offset, 10);
  state.update(marker, 1);
  EXPECT_EQ(state.find(7)->transaction_first_offset, -1);
  EXPECT_EQ(state.find(7)->coordinator_epoch, 4);
  EXPECT_EQ(state.find(7)->batches.size(), 3u);
  state.update(transactional(13, 3), 1);
  EXPECT_EQ(state.find(7)->transaction_first_offset, 13);
}

BatchInfo in_transaction(BatchInfo info) {
  info.attributes = BatchInfo::kTransactional;
  return info;
}
BatchInfo marker(int64_t offset, int16_t epoch, int32_t coordinator_epoch = 0, int16_t transaction_version = 2) {
  BatchInfo info = batch(offset, kNoSequence, 1, epoch);
  info.attributes = BatchInfo::kTransactional | BatchInfo::kControl;
  info.control_type = BatchInfo::kCommit;
  info.coordinator_epoch = coordinator_epoch;
  info.transaction_version = transaction_version;
  return info;
}
constexpr GuardState kVerified{.verified = true};

// Of several reasons the first one is told, in Kafka's order.
TEST(ProducerState, ATransactionalBatchIsJudgedInKafkasOrder) {
  ProducerState state;
  state.update(batch(0, 0, 1, 3), 1);
  const auto judge = [&](const BatchInfo& info, const GuardState& guard = {}) { return state.check(info, guard).check; };
  EXPECT_EQ(judge(in_transaction(batch(9, 0, 1, 3))), ProducerCheck::kDuplicate) << "though no transaction is open";
  EXPECT_EQ(judge(in_transaction(batch(9, 8, 1, 2))), ProducerCheck::kStaleEpoch) << "though it has no guard, nor the sequence";
  EXPECT_EQ(judge(in_transaction(batch(9, 8, 1, 2)), kVerified), ProducerCheck::kStaleEpoch);
  EXPECT_EQ(judge(in_transaction(batch(9, 8, 1, 3))), ProducerCheck::kNoTransaction) << "though the sequence is wrong";
  EXPECT_EQ(judge(in_transaction(batch(9, 8, 1, 3)), kVerified), ProducerCheck::kOutOfOrder);
  EXPECT_EQ(judge(in_transaction(batch(9, 1, 1, 3)), kVerified), ProducerCheck::kAccept);
  state.update(in_transaction(batch(1, 1, 1, 3)), 1);
  EXPECT_EQ(judge(in_transaction(batch(9, 2, 1, 3))), ProducerCheck::kAccept);
  EXPECT_EQ(judge(batch(9, 5, 1, 3)), ProducerCheck::kOutOfOrder);
  EXPECT_EQ(judge(batch(9, 2, 1, 3)), ProducerCheck::kInTransaction);
  EXPECT_EQ(judge(batch(9, 0, 1, 4)), ProducerCheck::kInTransaction);
  EXPECT_EQ(judge(in_transaction(batch(9, 0, 1, 4))), ProducerCheck::kNoTransaction) << "the open one is of an earlier epoch";
}

TEST(ProducerState, ABatchIsNotAheadOfALowerOneThatWaits) {
  ProducerState state;
  const GuardState waiting{.verified = true, .lowest_sequence = 5};
  EXPECT_EQ(state.check(in_transaction(batch(0, 6, 1)), waiting).check, ProducerCheck::kOutOfOrder);
  EXPECT_EQ(state.check(in_transaction(batch(0, 5, 1)), waiting).check, ProducerCheck::kAccept);
  EXPECT_EQ(state.check(batch(0, 6, 1), waiting).check, ProducerCheck::kOutOfOrder);
}

TEST(ProducerState, WithAnEpochForEachTransactionAnUnknownProducerBeginsWithZero) {
  ProducerState state;
  const GuardState waiting{.verified = true, .epoch_per_transaction = true, .lowest_sequence = 5};
  EXPECT_EQ(state.check(in_transaction(batch(0, 5, 1)), waiting).check, ProducerCheck::kOutOfOrder);
  EXPECT_EQ(state.check(in_transaction(batch(0, 0, 1)), waiting).check, ProducerCheck::kAccept);
  state.update(in_transaction(batch(0, 0, 5)), 1);
  EXPECT_EQ(state.check(in_transaction(batch(5, 5, 1)), waiting).check, ProducerCheck::kAccept) << "it is known";
}

TEST(ProducerState, AnEpochThatAMarkerRaisedBeginsWithZero) {
  ProducerState state;
  state.update(in_transaction(batch(0, 0, 3)), 1);
  state.update(marker(3, 1), 1);
  EXPECT_EQ(state.find(7)->producer_epoch, 1);
  EXPECT_TRUE(state.find(7)->batches.empty());
  EXPECT_EQ(state.check(batch(4, 3, 1, 1)).check, ProducerCheck::kOutOfOrder);
  EXPECT_EQ(state.check(batch(4, 0, 1, 1)).check, ProducerCheck::kAccept);
  EXPECT_EQ(state.check(batch(4, 3, 1, 0)).check, ProducerCheck::kStaleEpoch);
}

TEST(ProducerState, ACoordinatorsBatchHasNoSequence) {
  ProducerState state;
  const auto judge = [&](const BatchInfo& info, const GuardState& guard = {}) {
    return state.check_coordinator(info, guard).check;
  };
  EXPECT_EQ(judge(in_transaction(batch(0, 0, 1, 3))), ProducerCheck::kNoTransaction);
  EXPECT_EQ(judge(in_transaction(batch(0, 0, 1, 3)), kVerified), ProducerCheck::kAccept);
  state.update(in_transaction(batch(0, 0, 1, 3)), 1);
  EXPECT_EQ(judge(in_transaction(batch(1, 0, 1, 3))), ProducerCheck::kAccept) << "no duplicate";
  EXPECT_EQ(judge(in_transaction(batch(1, 0, 1, 2)), kVerified), ProducerCheck::kStaleEpoch);
}

TEST(ProducerState, AMarkerIsJudgedByItsVersion) {
  ProducerState state;
  const auto judge = [&](const BatchInfo& info) { return state.check_marker(info).check; };
  EXPECT_EQ(judge(marker(0, 0)), ProducerCheck::kAccept) << "of an unknown producer";
  state.update(in_transaction(batch(0, 0, 1, 3)), 1);
  EXPECT_EQ(judge(marker(1, 3, 0, 1)), ProducerCheck::kAccept);
  EXPECT_EQ(judge(marker(1, 2, 0, 1)), ProducerCheck::kStaleEpoch);
  EXPECT_EQ(judge(marker(1, 3)), ProducerCheck::kStaleEpoch);
  EXPECT_EQ(judge(marker(1, 4)), ProducerCheck::kAccept);
  state.update(marker(1, 4, 8), 1);
  EXPECT_EQ(judge(marker(2, 4, 8)), ProducerCheck::kAccept) << "again";
  EXPECT_EQ(judge(marker(2, 5, 7)), ProducerCheck::kFencedCoordinator);
  EXPECT_EQ(judge(marker(2, 3, 7)), ProducerCheck::kStaleEpoch);
  state.update(in_transaction(batch(2, 0, 1, 32767)), 1);
  EXPECT_EQ(judge(marker(3, 32767, 8)), ProducerCheck::kAccept) << "there is no epoch above";
}

// Compaction leaves nothing of it but its header. The epoch is known from there.
TEST(ProducerState, AnEmptyMarkerTellsTheEpoch) {
  ProducerState state;
  BatchInfo empty = marker(5, 2);
  empty.control_type = -1;
  state.update(empty, 1);
  EXPECT_EQ(state.find(7)->producer_epoch, 2);
  EXPECT_EQ(state.check(batch(6, 0, 1, 1)).check, ProducerCheck::kStaleEpoch);
}

// Recovery has to know where a transaction began whose marker it finds in the log.
TEST(ProducerState, WhoseMarkerIsNotCheckpointedStays) {
  ProducerState state;
  BatchInfo first = batch(10, 0, 1);
  first.attributes = BatchInfo::kTransactional;
  BatchInfo marker = batch(11, kNoSequence, 1);
  marker.attributes = BatchInfo::kTransactional | BatchInfo::kControl;
  marker.control_type = BatchInfo::kAbort;
  state.update(first, 1);
  state.update(marker, 1);
  EXPECT_TRUE(state.expire(100, 11).empty());
  EXPECT_EQ(state.evict(11), std::nullopt);
  EXPECT_EQ(state.expire(100, 12), (std::vector<int64_t>{7}));
}

// So that a look costs little however many of them there are.
TEST(ProducerState, AnEvictionLooksAtFewOfThoseThatStay) {
  ProducerState state;
  std::vector<ProducerEntry> open(2 * ProducerState::kEvictionLooks);
  for (size_t i = 0; i < open.size(); ++i) {
    open[i].producer_id = static_cast<int64_t>(100 + i);
    open[i].transaction_first_offset = static_cast<int64_t>(i);
  }
  state.restore(open);
  state.update(batch(0, 0, 1, 0, 1), 100);
  EXPECT_EQ(state.evict(), std::nullopt);
  EXPECT_EQ(state.evict(), std::nullopt);
  EXPECT_EQ(state.evict(), 1);
}

TEST(ProducerState, TheOneUpdatedLongestAgoGoesFirst) {
  ProducerState state;
  ProducerEntry young, old;
  young.producer_id = 1, young.last_timestamp = 90;
  old.producer_id = 2, old.last_timestamp = 50;
  state.restore({young, old});
  state.update(batch(0, 0, 1, 0, 3), 100);
  state.update(batch(1, 0, 1, 0, 2), 110);
  EXPECT_EQ(state.evict(), 1);
  EXPECT_EQ(state.evict(), 3);
  EXPECT_EQ(state.evict(), 2);
  EXPECT_EQ(state.size(), 0u);
}

TEST(ProducerState, ManyExpireInSlices) {
  ProducerState state;
  for (int64_t id = 0; id < 10'000; ++id) state.update(batch(id, 0, 1, 0, id), 100);
  size_t expired = 0;
  for (int i = 0; i < 3; ++i) expired += state.expire(200).size();
  EXPECT_EQ(expired, 10'000u);
}

// Whenever it is taken into account: with LogAppendTime it is what a resend is answered with.
TEST(ProducerState, ABatchHasTheTimeOfItsRecords) {
  ProducerState state;
  BatchInfo info = batch(0, 0, 1);
  info.max_timestamp = 77;
  state.update(info, 1000);
  EXPECT_EQ(state.check(info).original.timestamp, 77);
  EXPECT_EQ(state.find(7)->last_timestamp, 1000);
}

}  // namespace
}  // namespace weir::storage
