// Offsets that are committed in transactions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordination/group/group_world.h"

namespace weir::coordination {
namespace {

using ::testing::ElementsAre;

constexpr int64_t kDay = 24ll * 3'600 * 1'000;

class PendingOffsetsTest : public ::testing::Test {
 protected:
  int64_t stored(const std::string& topic = "t", int32_t partition = 0) { return world.fetch("g", topic, partition).offset; }
  void commit_with_id(Uuid id, int32_t partition, int64_t offset) {
    OffsetCommitRequest request;
    request.group_id = "g";
    request.items.push_back({"t", id, partition, offset, 3, ""});
    EXPECT_EQ(world.commit(std::move(request)), ErrorCode::kNone);
  }
  void delete_topic(const std::string& topic, Uuid id) {
    const ImageChange change{world.image, world.image, {{topic, id}}, {}, {}};
    world.step([&](Effects& effects) { world.state->image_changed(change, world.now, effects); });
    world.advance(10);
  }
  void sweep() { world.advance(600'001); }
  // The log says what the state is, and the memory that is counted is there.
  void consistent() {
    const auto copy = world.replayed();
    EXPECT_EQ(copy->snapshot(), world.state->snapshot());
    EXPECT_EQ(copy->memory_bytes(), copy->counted_memory_bytes());
    EXPECT_EQ(world.state->memory_bytes(), world.state->counted_memory_bytes());
    EXPECT_EQ(world.memory.used_bytes(), world.state->memory_bytes() + copy->memory_bytes());
  }

  GroupWorld world{no_delay()};
};

// --- the marker -----------------------------------------------------------------------------------------------------

TEST_F(PendingOffsetsTest, CountWhenTheirTransactionCommits) {
  world.commit("g", "t", 0, 5);
  EXPECT_EQ(world.commit_in_transaction(1, "g", "t", 0, 10), ErrorCode::kNone);
  EXPECT_EQ(world.commit_in_transaction(1, "g", "u", 3, 11), ErrorCode::kNone);
  EXPECT_EQ(stored(), 5);
  EXPECT_EQ(stored("u", 3), -1);
  EXPECT_EQ(world.state->offset_count(), 1u);
  EXPECT_EQ(world.state->pending_offset_count(), 2u);
  EXPECT_EQ(world.state->summary(), "1 group with 1 offset and 2 of open transactions");
  consistent();
  world.restart();
  EXPECT_EQ(stored(), 5);
  EXPECT_EQ(world.end_transaction(1, true), ErrorCode::kNone);
  EXPECT_EQ(stored(), 10);
  EXPECT_EQ(world.fetch("g", "t", 0).metadata, "meta");
  EXPECT_EQ(world.fetch("g", "t", 0).leader_epoch, 3);
  EXPECT_EQ(stored("u", 3), 11);
  EXPECT_EQ(world.state->offset_count(), 2u);
  EXPECT_EQ(world.state->pending_offset_count(), 0u);
  consistent();
}

TEST_F(PendingOffsetsTest, AreDroppedWhenTheirTransactionAborts) {
  world.commit("g", "t", 0, 5);
  world.commit_in_transaction(1, "g", "t", 0, 10);
  world.end_transaction(1, false);
  EXPECT_EQ(stored(), 5);
  EXPECT_EQ(world.state->pending_offset_count(), 0u);
  world.end_transaction(1, true);
  EXPECT_EQ(stored(), 5) << "nothing is left to commit";
  consistent();
}

TEST_F(PendingOffsetsTest, WaitForTheMarkerOfTheirOwnProducer) {
  world.commit_in_transaction(1, "g", "t", 0, 10);
  world.end_transaction(2, true);
  EXPECT_EQ(stored(), -1);
  consistent();
}

TEST_F(PendingOffsetsTest, AreWrittenByTheirProducerAndTheMarkerAsOne) {
  TxnOffsetCommitRequest request;
  request.group_id = "g";
  request.producer_id = 7;
  request.producer_epoch = 4;
  request.items = {{"t", {}, 0, 1, -1, ""}, {"t", {}, 1, 2, -1, ""}};
  world.commit_in_transaction(request);
  Pending<MarkerResult> answer;
  const TransactionMarker marker{7, 5, 2, true};
  world.step([&](Effects& effects) {
    world.state->end_transaction(marker, answer.reply(), world.now, effects);
    EXPECT_FALSE(answer.answered()) << "not durable yet";
  });
  EXPECT_EQ(answer->error, ErrorCode::kNone);
  ASSERT_EQ(world.log.size(), 3u);
  EXPECT_EQ(world.log[0].origin, (Origin{7, 4, true}));
  EXPECT_EQ(world.log[1].origin, (Origin{7, 4, true}));
  EXPECT_EQ(std::get<TransactionMarker>(world.log[2].what), marker);
  EXPECT_EQ(stored("t", 1), 2) << "whatever the marker's epoch: the log judges it";
}

TEST_F(PendingOffsetsTest, AMarkerWithNothingToEndIsWritten) {
  EXPECT_EQ(world.end_transaction(9, true), ErrorCode::kNone);
  EXPECT_EQ(world.log.size(), 1u);
  EXPECT_EQ(world.state->group_count(), 0u);
  consistent();
}

TEST_F(PendingOffsetsTest, ABatchOfAProducerOutsideOfATransactionCounts) {
  CommittedOffset offset;
  offset.offset = 6;
  const CoordinatorRecord record = encode(OffsetEntry{"g", "t", 0, offset});
  EXPECT_TRUE(world.state->replay(0, {3, 0, false}, as_bytes(record.key), as_bytes(*record.value)));
  EXPECT_EQ(stored(), 6);
}

// --- several commits of a partition ---------------------------------------------------------------------------------

TEST_F(PendingOffsetsTest, TheLaterCommitWinsNotTheLaterMarker) {
  world.commit_in_transaction(1, "g", "t", 0, 10);
  world.commit_in_transaction(2, "g", "t", 0, 20);
  world.end_transaction(2, true);
  EXPECT_EQ(stored(), 20);
  consistent();
  world.end_transaction(1, true);
  EXPECT_EQ(stored(), 20);
  consistent();
  world.commit_in_transaction(2, "g", "t", 0, 30);
  world.commit_in_transaction(1, "g", "t", 0, 25);
  world.end_transaction(2, true);
  EXPECT_EQ(stored(), 30);
  world.end_transaction(1, true);
  EXPECT_EQ(stored(), 25) << "later in the log, whatever the offsets are";
  consistent();
}

TEST_F(PendingOffsetsTest, ALaterPlainCommitWins) {
  world.commit_in_transaction(1, "g", "t", 0, 10);
  world.commit("g", "t", 0, 7);
  EXPECT_EQ(stored(), 7);
  world.end_transaction(1, true);
  EXPECT_EQ(stored(), 7);
  consistent();
}

TEST_F(PendingOffsetsTest, AnEarlierPlainCommitLoses) {
  world.commit("g", "t", 0, 70);
  world.commit_in_transaction(1, "g", "t", 0, 10);
  world.end_transaction(1, true);
  EXPECT_EQ(stored(), 10);
  consistent();
}

TEST_F(PendingOffsetsTest, TheOrderGoesOnOverARestart) {
  for (int i = 0; i < 5; ++i) world.commit("g", "u", 0, i);
  world.commit_in_transaction(1, "g", "t", 0, 10);
  world.restart();
  world.commit("g", "t", 0, 7);
  world.commit_in_transaction(2, "g", "u", 0, 40);
  world.end_transaction(1, true);
  world.end_transaction(2, true);
  EXPECT_EQ(stored(), 7);
  EXPECT_EQ(stored("u"), 40);
  consistent();
}

TEST_F(PendingOffsetsTest, AnAbortOfTheLaterLeavesTheEarlier) {
  world.commit_in_transaction(1, "g", "t", 0, 10);
  world.commit_in_transaction(2, "g", "t", 0, 20);
  world.end_transaction(2, false);
  EXPECT_EQ(stored(), -1);
  EXPECT_EQ(world.fetch_stable("g", "t", 0).error, ErrorCode::kUnstableOffsetCommit);
  world.end_transaction(1, true);
  EXPECT_EQ(stored(), 10);
  consistent();
}

TEST_F(PendingOffsetsTest, OfOneTransactionTheLastCounts) {
  world.commit_in_transaction(1, "g", "t", 0, 10);
  world.commit("g", "t", 0, 7);
  world.commit_in_transaction(1, "g", "t", 0, 12);
  EXPECT_EQ(world.state->pending_offset_count(), 1u);
  consistent();
  world.end_transaction(1, true);
  EXPECT_EQ(stored(), 12);
  consistent();
}

// The copies of a state are equal only if they agree on what a marker to come would do.
TEST_F(PendingOffsetsTest, TheSnapshotTellsWhichIsNewer) {
  const auto snapshot_of = [](const std::vector<int>& order) {
    GroupWorld fresh;
    for (const int who : order) {
      if (who == 0) fresh.commit("g", "t", 0, 5);
      else fresh.commit_in_transaction(who, "g", "t", 0, 10 + who);
    }
    return fresh.state->snapshot();
  };
  const auto one = snapshot_of({0, 1, 2});
  EXPECT_EQ(one, snapshot_of({2, 0, 1, 2}));
  for (const std::vector<int>& other : {std::vector{1, 0, 2}, {1, 2, 0}, {0, 2, 1}, {0, 1}}) {
    EXPECT_NE(one, snapshot_of(other));
  }
}

// --- deletion -------------------------------------------------------------------------------------------------------

TEST_F(PendingOffsetsTest, ADeletedOffsetIsNotBroughtBackByATransaction) {
  world.commit("g", "t", 0, 5);
  world.commit_in_transaction(1, "g", "t", 0, 10);
  world.commit_in_transaction(2, "g", "t", 0, 20);
  world.commit_in_transaction(1, "g", "t", 1, 11);
  EXPECT_EQ(world.delete_offset("g", "t", 0), ErrorCode::kNone);
  EXPECT_EQ(world.state->pending_offset_count(), 1u);
  EXPECT_EQ(world.fetch_stable("g", "t", 0).error, ErrorCode::kNone);
  consistent();
  world.end_transaction(1, true);
  world.end_transaction(2, true);
  EXPECT_EQ(stored(), -1);
  EXPECT_EQ(stored("t", 1), 11) << "another partition";
  consistent();
}

TEST_F(PendingOffsetsTest, AnOffsetThatIsOnlyPendingCanBeDeleted) {
  world.commit_in_transaction(1, "g", "t", 0, 10);
  EXPECT_EQ(world.delete_offset("g", "t", 0), ErrorCode::kNone);
  EXPECT_EQ(world.state->totals().offsets_deleted, 1u);
  EXPECT_EQ(world.delete_offset("g", "t", 0), ErrorCode::kNone);
  EXPECT_EQ(world.state->totals().offsets_deleted, 1u);
  world.restart();
  world.end_transaction(1, true);
  EXPECT_EQ(stored(), -1);
  consistent();
}

TEST_F(PendingOffsetsTest, WhatIsCommittedAfterADeletionCounts) {
  world.commit_in_transaction(1, "g", "t", 0, 10);
  world.delete_offset("g", "t", 0);
  world.commit_in_transaction(1, "g", "t", 0, 12);
  world.end_transaction(1, true);
  EXPECT_EQ(stored(), 12);
  consistent();
}

TEST_F(PendingOffsetsTest, ADeletedGroupTakesThemAlong) {
  world.commit("g", "t", 0, 5);
  world.commit_in_transaction(1, "g", "t", 0, 10);
  world.commit_in_transaction(1, "g", "u", 0, 11);
  world.commit_in_transaction(2, "g", "u", 0, 12);
  world.commit_in_transaction(2, "h", "u", 0, 13);
  const size_t before = world.log.size();
  EXPECT_EQ(world.delete_group("g"), ErrorCode::kNone);
  EXPECT_EQ(world.log.size(), before + 3) << "a tombstone for each of the two partitions, and the group's";
  EXPECT_EQ(world.state->pending_offset_count(), 1u);
  world.end_transaction(1, true);
  world.end_transaction(2, true);
  EXPECT_EQ(world.describe().error, ErrorCode::kGroupIdNotFound);
  EXPECT_EQ(world.fetch("h", "u", 0).offset, 13);
  consistent();
  world.restart();
  EXPECT_EQ(world.state->group_count(), 1u);
}

// --- groups ---------------------------------------------------------------------------------------------------------

TEST_F(PendingOffsetsTest, AGroupThatHasNothingElseStaysUntilTheirEnd) {
  world.commit_in_transaction(1, "g", "t", 0, 10);
  EXPECT_EQ(world.group_state(), "Empty");
  sweep();
  EXPECT_EQ(world.group_state(), "Empty");
  consistent();
  world.restart();
  sweep();
  EXPECT_EQ(world.group_state(), "Empty");
  world.end_transaction(1, false);
  EXPECT_EQ(world.group_state(), "Empty");
  sweep();
  EXPECT_EQ(world.describe().error, ErrorCode::kGroupIdNotFound);
  consistent();
}

TEST_F(PendingOffsetsTest, AGroupWhoseRecordIsGoneHasThem) {
  world.commit_in_transaction(1, "g", "t", 0, 10);
  world.commit_in_transaction(2, "h", "t", 0, 11);
  for (const std::string group : {"g", "h"}) world.log.push_back({encode(GroupMetadataEntry{group, std::nullopt})});
  world.restart();
  EXPECT_EQ(world.group_state("g"), "Empty");
  world.log.push_back({TransactionMarker{1, 0, 0, true}});
  world.restart();
  EXPECT_EQ(world.group_state("g"), "Empty");
  EXPECT_EQ(stored(), 10);
  world.end_transaction(2, true);
  EXPECT_EQ(world.fetch("h", "t", 0).offset, 11);
}

TEST_F(PendingOffsetsTest, StoredOffsetsDoNotExpireMeanwhile) {
  world.commit("g", "t", 0, 5);
  world.commit("g", "t", 1, 6);
  world.commit_in_transaction(1, "g", "t", 0, 10);
  world.advance(8 * kDay);
  EXPECT_EQ(stored(), 5);
  EXPECT_EQ(stored("t", 1), -1) << "nothing is pending for it";
  EXPECT_EQ(world.state->pending_offset_count(), 1u) << "pending ones do not expire";
  consistent();
  world.end_transaction(1, false);
  sweep();
  EXPECT_EQ(stored(), -1);
  EXPECT_EQ(world.describe().error, ErrorCode::kGroupIdNotFound);
  consistent();
}

// --- deleted topics -------------------------------------------------------------------------------------------------

TEST_F(PendingOffsetsTest, GoWithTheirTopic) {
  const Uuid old_id{{1}}, new_id{{2}};
  world.commit_in_transaction(1, "g", "t", 0, 10, old_id);
  world.commit_in_transaction(2, "g", "t", 1, 11, new_id);
  world.commit_in_transaction(2, "g", "t", 2, 12);
  world.commit_in_transaction(2, "g", "u", 0, 13, old_id);
  delete_topic("t", old_id);
  EXPECT_EQ(world.state->pending_offset_count(), 2u);
  consistent();
  world.end_transaction(1, true);
  world.end_transaction(2, true);
  EXPECT_EQ(stored("t", 0), -1);
  EXPECT_EQ(stored("t", 1), 11);
  EXPECT_EQ(stored("t", 2), -1) << "which topic it means, it does not say";
  EXPECT_EQ(stored("u", 0), 13);
}

TEST_F(PendingOffsetsTest, OfATopicThatIsThereOutliveTheDeletedOne) {
  const Uuid old_id{{1}}, new_id{{2}};
  commit_with_id(old_id, 0, 7);
  commit_with_id(old_id, 1, 8);
  world.commit_in_transaction(1, "g", "t", 0, 10, new_id);
  world.commit_in_transaction(1, "g", "t", 1, 11, old_id);
  world.commit_in_transaction(1, "g", "t", 2, 12, old_id);
  world.commit_in_transaction(2, "g", "t", 2, 13, new_id);
  delete_topic("t", old_id);
  world.end_transaction(1, true);
  world.end_transaction(2, true);
  EXPECT_EQ(stored("t", 0), 10);
  EXPECT_EQ(stored("t", 1), -1);
  EXPECT_EQ(stored("t", 2), 13);
  consistent();
}

TEST_F(PendingOffsetsTest, OfADeletedTopicLeaveTheStoredOneOfTheNextTopicAlone) {
  const Uuid old_id{{1}}, new_id{{2}};
  world.commit_in_transaction(1, "g", "t", 0, 10, old_id);
  commit_with_id(new_id, 0, 7);
  delete_topic("t", old_id);
  EXPECT_EQ(stored(), 7);
  world.end_transaction(1, true);
  EXPECT_EQ(stored(), 7);
  consistent();
}

TEST_F(PendingOffsetsTest, GoWithATopicWhoseDeletionWasMissed) {
  const Uuid gone{{1}}, there{{2}};
  world.commit_in_transaction(1, "g", "t", 0, 10, gone);
  world.commit_in_transaction(1, "g", "u", 0, 11, there);
  world.advance(10);
  world.image = std::make_shared<TestImage>(std::set<std::string, std::less<>>{}, std::set<Uuid>{gone});
  world.restart();
  world.advance(10);
  EXPECT_EQ(world.state->pending_offset_count(), 1u);
  world.end_transaction(1, true);
  EXPECT_EQ(stored("t"), -1);
  EXPECT_EQ(stored("u"), 11);
  consistent();
}

// --- fetch ----------------------------------------------------------------------------------------------------------

TEST_F(PendingOffsetsTest, MakeWhatIsStoredUnstable) {
  world.commit("g", "t", 0, 5);
  world.commit("g", "t", 1, 6);
  world.commit_in_transaction(1, "g", "t", 0, 10);
  world.commit_in_transaction(1, "g", "t", 2, 12);
  const FetchedOffset unstable = world.fetch_stable("g", "t", 0);
  EXPECT_EQ(unstable.error, ErrorCode::kUnstableOffsetCommit);
  EXPECT_EQ(unstable.offset, -1);
  EXPECT_EQ(unstable.leader_epoch, -1);
  EXPECT_EQ(unstable.metadata, "");
  EXPECT_EQ(world.fetch_stable("g", "t", 1).error, ErrorCode::kNone) << "partition by partition";
  EXPECT_EQ(world.fetch_stable("g", "t", 1).offset, 6);
  EXPECT_EQ(world.fetch_stable("g", "t", 2).error, ErrorCode::kUnstableOffsetCommit) << "nothing is stored";
  EXPECT_EQ(world.fetch_stable("h", "t", 0).error, ErrorCode::kNone);
  EXPECT_EQ(world.fetch("g", "t", 0).error, ErrorCode::kNone) << "who does not ask for it gets what is stored";
  EXPECT_EQ(world.fetch("g", "t", 0).offset, 5);
  world.end_transaction(1, true);
  EXPECT_EQ(world.fetch_stable("g", "t", 0).error, ErrorCode::kNone);
  EXPECT_EQ(world.fetch_stable("g", "t", 0).offset, 10);
}

TEST_F(PendingOffsetsTest, AFetchOfAllSaysWhichAreUnstable) {
  world.commit("g", "t", 0, 5);
  world.commit("g", "t", 1, 6);
  world.commit_in_transaction(1, "g", "t", 0, 10);
  world.commit_in_transaction(1, "g", "t", 2, 12);
  OffsetFetchRequest request{"g", true, {}, true};
  const auto told = [&] {
    std::vector<std::pair<ErrorCode, int64_t>> all;
    for (const FetchedOffset& item : world.fetch(request)) all.emplace_back(item.error, item.offset);
    return all;
  };
  EXPECT_THAT(told(), ElementsAre(std::pair(ErrorCode::kUnstableOffsetCommit, -1), std::pair(ErrorCode::kNone, 6)))
      << "what is only pending is not listed";
  request.require_stable = false;
  EXPECT_THAT(told(), ElementsAre(std::pair(ErrorCode::kNone, 5), std::pair(ErrorCode::kNone, 6)));
}

// --- memory ---------------------------------------------------------------------------------------------------------

TEST_F(PendingOffsetsTest, TheirMemoryIsCountedAndGivenBack) {
  const int64_t empty = world.memory.used_bytes();
  const std::string long_topic(200, 't');
  for (int32_t p = 0; p < 100; ++p) {
    for (const int64_t producer : {1, 2}) world.commit_in_transaction(producer, "g", long_topic, p, p);
  }
  EXPECT_GE(world.memory.used_bytes() - empty, 200 * 880);
  consistent();
  for (int32_t p = 0; p < 50; ++p) world.delete_offset("g", long_topic, p);
  consistent();
  world.end_transaction(1, true);
  consistent();
  world.end_transaction(2, false);
  consistent();
  world.delete_group("g");
  EXPECT_EQ(world.memory.used_bytes(), empty);
}

TEST_F(PendingOffsetsTest, WhileMemoryIsShortWhatIsKnownGoesOn) {
  const int64_t eighth = world.memory.limit_bytes() / 8;
  world.commit("g", "t", 0, 5);
  world.commit_in_transaction(1, "g", "t", 1, 6);
  world.memory.add(6 * eighth);
  EXPECT_EQ(world.commit_in_transaction(1, "g", "t", 0, 10), ErrorCode::kNone) << "is stored";
  EXPECT_EQ(world.commit_in_transaction(1, "g", "t", 1, 11), ErrorCode::kNone) << "is pending for this producer";
  EXPECT_EQ(world.commit_in_transaction(1, "g", "t", 2, 12), ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(world.commit_in_transaction(2, "g", "t", 1, 13), ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(world.memory.last_refusal_ms(), world.now.monotonic_ms);
  EXPECT_EQ(world.commit_in_transaction(2, "g", "t", 0, 14), ErrorCode::kNone);
  // Many producers that commit one stored offset leave room for groups and members.
  world.memory.add(eighth);
  EXPECT_EQ(world.commit_in_transaction(3, "g", "t", 0, 15), ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(world.commit_in_transaction(2, "g", "t", 0, 16), ErrorCode::kNone);
  world.memory.add(-7 * eighth);
  EXPECT_EQ(world.commit_in_transaction(3, "g", "t", 2, 15), ErrorCode::kNone);
}

}  // namespace
}  // namespace weir::coordination
