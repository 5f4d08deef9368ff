#include "storage/log/partition_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class PartitionStateTest : public ::testing::Test {
 protected:
  // Appends `count` records; a producer's are part of a transaction.
  void add(int64_t producer, int count = 1, int32_t epoch = 0) {
    BatchInfo info;
    info.base_offset = state_.end_offset();
    info.last_offset_delta = count - 1;
    info.leader_epoch = epoch;
    info.producer_id = producer;
    if (producer != kNoProducerId) {
      info.producer_epoch = 0;
      info.attributes = BatchInfo::kTransactional;
      info.base_sequence = 0;
    }
    state_.apply(info, 1000);
  }
  void end(int64_t producer, int16_t how) {
    BatchInfo info;
    info.base_offset = state_.end_offset();
    info.producer_id = producer;
    info.producer_epoch = 0;
    info.attributes = BatchInfo::kTransactional | BatchInfo::kControl;
    info.control_type = how;
    info.coordinator_epoch = 3;
    state_.apply(info, 1000);
  }

  PartitionState state_{5};
};

TEST_F(PartitionStateTest, KnowsEndAndLeaderEpochs) {
  add(kNoProducerId, 10, 0);
  add(kNoProducerId, 10, 0);
  add(kNoProducerId, 10, 2);
  EXPECT_EQ(state_.end_offset(), 30);
  EXPECT_THAT(state_.epochs(), ElementsAre(EpochStart{0, 0}, EpochStart{2, 20}));
  EXPECT_EQ(state_.epoch_at(19), 0);
  EXPECT_EQ(state_.epoch_at(20), 2);
  state_.forget_epochs_before(25);
  EXPECT_THAT(state_.epochs(), ElementsAre(EpochStart{2, 20}));
  EXPECT_EQ(state_.epoch_at(19), -1);
}

TEST_F(PartitionStateTest, TakesNoEpochAboveTheHighestNorABatchWithoutOne) {
  add(kNoProducerId, 1, -1);
  add(kNoProducerId, 1, 77);
  EXPECT_THAT(state_.epochs(), ElementsAre(EpochStart{5, 1}));
}

TEST_F(PartitionStateTest, ABatchBelowTheEndTellsOfItsProducerOnly) {
  state_.restore(100, {{1, 0}}, {});
  BatchInfo info;
  info.base_offset = 40;
  info.leader_epoch = 4;
  info.producer_id = 7;
  info.producer_epoch = 0;
  info.base_sequence = 0;
  state_.apply(info, 1000);
  EXPECT_EQ(state_.end_offset(), 100);
  EXPECT_THAT(state_.epochs(), ElementsAre(EpochStart{1, 0}));
  EXPECT_EQ(state_.producers().check(info).check, ProducerCheck::kDuplicate);
}

TEST_F(PartitionStateTest, ATransactionIsOpenFromItsFirstBatchToItsMarker) {
  add(kNoProducerId, 5);
  add(1, 2);
  add(2);
  add(1);
  EXPECT_THAT(state_.open_transactions(), ElementsAre(Pair(5, 1), Pair(7, 2)));
  end(1, BatchInfo::kCommit);
  EXPECT_THAT(state_.open_transactions(), ElementsAre(Pair(7, 2)));
  add(1);
  EXPECT_THAT(state_.open_transactions(), ElementsAre(Pair(7, 2), Pair(10, 1)));
  EXPECT_THAT(state_.aborted(), IsEmpty());
}

TEST_F(PartitionStateTest, AnAbortLeavesAnEntryWithTheStableOffsetBehindIt) {
  add(1);
  add(2);
  end(2, BatchInfo::kAbort);
  end(1, BatchInfo::kAbort);
  EXPECT_THAT(state_.aborted(), ElementsAre(AbortedTransaction{2, 1, 2, 0}, AbortedTransaction{1, 0, 3, 4}));
}

TEST_F(PartitionStateTest, AMarkerWithoutATransactionLeavesNothing) {
  end(1, BatchInfo::kAbort);
  add(2);
  end(1, BatchInfo::kAbort);
  EXPECT_THAT(state_.aborted(), IsEmpty());
  EXPECT_THAT(state_.open_transactions(), ElementsAre(Pair(1, 2)));
  EXPECT_EQ(state_.producers().find(1)->coordinator_epoch, 3);
}

TEST_F(PartitionStateTest, ADecidedTransactionIsUnstableUntilItsMarkerIsDurable) {
  EXPECT_EQ(state_.first_unstable_offset(), PartitionState::kNoneUnstable);
  add(kNoProducerId);
  add(1);
  add(2);
  EXPECT_EQ(state_.first_unstable_offset(), 1);
  end(1, BatchInfo::kCommit);  // offset 3
  EXPECT_EQ(state_.first_unstable_offset(), 1);
  state_.note_durable(3);
  EXPECT_EQ(state_.first_unstable_offset(), 1);
  state_.note_durable(4);
  EXPECT_EQ(state_.first_unstable_offset(), 2);
}

// 1 began first and ends last: what 2 and 3 decide meanwhile does not matter.
TEST_F(PartitionStateTest, TheDecidedTransactionThatBeganFirstCounts) {
  for (const int64_t producer : {1, 2, 3}) add(producer);
  for (const int64_t producer : {3, 2, 1}) end(producer, BatchInfo::kCommit);
  EXPECT_EQ(state_.first_unstable_offset(), 0);
  state_.note_durable(5);
  EXPECT_EQ(state_.first_unstable_offset(), 0);
  add(4);
  end(4, BatchInfo::kAbort);
  state_.note_durable(6);
  EXPECT_EQ(state_.first_unstable_offset(), 6);
  state_.note_durable(8);
  EXPECT_EQ(state_.first_unstable_offset(), PartitionState::kNoneUnstable);
}

TEST_F(PartitionStateTest, ReadersAreToldOfWhatWasAbortedWhereTheyRead) {
  const auto told = [&](int64_t from, int64_t end) {
    std::vector<int64_t> firsts;
    std::vector<AbortedTransaction> aborted;
    state_.list_aborted(from, end, aborted);
    for (const auto& one : aborted) firsts.push_back(one.first_offset);
    return firsts;
  };
  add(1);                      // 0
  end(1, BatchInfo::kAbort);   // 1
  add(2);                      // 2
  add(3);                      // 3
  end(3, BatchInfo::kAbort);   // 4
  end(2, BatchInfo::kCommit);  // 5
  add(4);                      // 6
  end(4, BatchInfo::kAbort);   // 7
  EXPECT_THAT(told(0, 8), ElementsAre(0, 3, 6));
  EXPECT_THAT(told(1, 6), ElementsAre(0, 3));
  EXPECT_THAT(told(2, 6), ElementsAre(3));
  EXPECT_THAT(told(2, 3), IsEmpty());
  EXPECT_THAT(told(5, 6), IsEmpty());
  state_.forget_aborted_before(4);
  EXPECT_THAT(told(0, 8), ElementsAre(3, 6));
  state_.forget_aborted_before(5);
  EXPECT_THAT(told(0, 8), ElementsAre(6));
}

TEST_F(PartitionStateTest, OpenTransactionsAreRestoredWithTheirProducers) {
  ProducerEntry open;
  open.producer_id = 9;
  open.producer_epoch = 0;
  open.transaction_first_offset = 20;
  ProducerEntry none;
  none.producer_id = 10;
  state_.restore(50, {}, {open, none});
  EXPECT_THAT(state_.open_transactions(), ElementsAre(Pair(20, 9)));
  end(9, BatchInfo::kAbort);
  EXPECT_THAT(state_.open_transactions(), IsEmpty());
  EXPECT_THAT(state_.aborted(), ElementsAre(AbortedTransaction{9, 20, 50, 51}));
}

}  // namespace
}  // namespace weir::storage
