#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "coordination/group/consumer/consumer_client.h"

namespace weir::coordination {
namespace {

using enum ErrorCode;

class ConsumerLeaveTest : public ::testing::Test {
 protected:
  static GroupConfig at_once() {
    GroupConfig config;
    config.consumer.assignment_interval_ms.value = 0;
    return config;
  }
  ConsumerLeaveTest() : world(at_once()) {
    world.image = image_with({{"t", {6}}});
    world.restart();
    a.id = "a";
    b.id = "b";
  }
  void settle(std::vector<ConsumerClient*> clients) {
    for (int round = 0; round < 6; ++round) {
      for (ConsumerClient* one : clients) EXPECT_EQ(one->heartbeat(world), kNone) << one->last.error_message.value_or("");
    }
  }
  void join_both() {
    a.join(world);
    b.join(world);
    settle({&a, &b});
  }
  size_t size() { return world.describe_consumer().members.size(); }

  GroupWorld world;
  ConsumerClient a, b;
};

TEST_F(ConsumerLeaveTest, PartitionsOfAMemberThatLeavesAreFreeAtOnce) {
  join_both();
  const size_t before = world.log.size();
  EXPECT_EQ(a.leave(world), kNone);
  EXPECT_EQ(a.last.member_id, "a");
  EXPECT_EQ(a.last.member_epoch, -1);
  EXPECT_EQ(world.log.size() - before, 4u) << "three tombstones and the epoch";
  for (size_t i = before + 1; i < world.log.size(); ++i) EXPECT_TRUE(world.log[i].joined);
  EXPECT_EQ(b.heartbeat(world), kNone);
  EXPECT_EQ(b.count(), 6u);
  EXPECT_EQ(world.describe_consumer().state, "Stable");
  world.restart();
  EXPECT_EQ(size(), 1u);
}

TEST_F(ConsumerLeaveTest, AMemberWithoutHeartbeatsIsRemoved) {
  join_both();
  world.advance(30'000);
  EXPECT_EQ(b.heartbeat(world), kNone);
  world.advance(15'000);
  EXPECT_EQ(size(), 1u);
  EXPECT_EQ(a.heartbeat(world), kUnknownMemberId);
  EXPECT_EQ(b.heartbeat(world), kNone);
  EXPECT_EQ(b.count(), 6u);
  world.advance(45'000);
  EXPECT_EQ(world.describe_consumer().state, "Empty");
}

TEST_F(ConsumerLeaveTest, ARestartGivesFullSessions) {
  join_both();
  world.advance(44'000);
  world.restart();
  world.advance(44'000);
  EXPECT_EQ(a.heartbeat(world), kNone);
  world.advance(1'000);
  EXPECT_EQ(size(), 1u);
}

TEST_F(ConsumerLeaveTest, AMemberThatDoesNotGiveUpItsPartitionsIsRemoved) {
  a.slow = true;
  a.rebalance_ms = 10'000;
  a.join(world);
  a.revoke();
  b.join(world);
  EXPECT_EQ(a.heartbeat(world), kNone);
  world.advance(9'999);
  EXPECT_EQ(a.heartbeat(world), kNone) << "heartbeats do not help";
  world.advance(1);
  EXPECT_EQ(a.heartbeat(world), kUnknownMemberId);
  settle({&b});
  EXPECT_EQ(b.count(), 6u);
}

TEST_F(ConsumerLeaveTest, AMemberThatGivesUpInTimeStays) {
  a.slow = true;
  a.rebalance_ms = 10'000;
  a.join(world);
  a.revoke();
  b.join(world);
  EXPECT_EQ(a.heartbeat(world), kNone);
  a.revoke();
  world.advance(9'999);
  EXPECT_EQ(a.heartbeat(world), kNone);
  world.advance(9'999);
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_EQ(size(), 2u);
}

TEST_F(ConsumerLeaveTest, ARestartBeginsTheTimeToGiveUpAgain) {
  a.slow = true;
  a.rebalance_ms = 10'000;
  a.join(world);
  a.revoke();
  b.join(world);
  a.heartbeat(world);
  world.advance(9'000);
  world.restart();
  world.advance(9'000);
  EXPECT_EQ(a.heartbeat(world), kNone);
  world.advance(1'000);
  EXPECT_EQ(a.heartbeat(world), kUnknownMemberId);
}

TEST_F(ConsumerLeaveTest, AStaticMemberThatIsAwayTooLongIsRemoved) {
  a.instance = "i";
  join_both();
  EXPECT_EQ(a.leave(world, true), kNone);
  world.advance(44'000);
  EXPECT_EQ(b.heartbeat(world), kNone);
  EXPECT_EQ(b.count(), 3u);
  world.advance(1'000);
  EXPECT_EQ(size(), 1u);
  EXPECT_EQ(b.heartbeat(world), kNone);
  EXPECT_EQ(b.count(), 6u);
}

TEST_F(ConsumerLeaveTest, AStaticMemberMayLeaveForGood) {
  a.instance = "i";
  join_both();
  EXPECT_EQ(a.leave(world), kNone);
  EXPECT_EQ(size(), 1u);
}

TEST_F(ConsumerLeaveTest, AnAwayMemberHasGivenUpWhatItHadTo) {
  a.instance = "i";
  a.slow = true;
  a.join(world);
  a.revoke();
  b.join(world);
  a.heartbeat(world);  // it is asked for three
  EXPECT_EQ(b.heartbeat(world), kNone);
  EXPECT_EQ(b.count(), 0u);
  EXPECT_EQ(a.leave(world, true), kNone);
  EXPECT_EQ(b.heartbeat(world), kNone);
  EXPECT_EQ(b.count(), 3u);
  world.advance(40'000);
  EXPECT_EQ(size(), 2u) << "it need not give up anything in time";
}

TEST_F(ConsumerLeaveTest, AnAdministratorRemovesMembers) {
  a.instance = "i";
  join_both();
  EXPECT_EQ(world.leave("c"), kUnknownMemberId);
  EXPECT_EQ(world.leave("b", "i"), kFencedInstanceId);
  EXPECT_EQ(world.leave("", "j"), kUnknownMemberId);
  const int32_t epoch = world.describe_consumer().group_epoch;
  Pending<LeaveResult> answer;
  world.run([&](auto& state, Instant now, Effects& effects) {
    state.leave({"g", {{"", "i"}, {"b", {}}, {"b", {}}}}, answer.reply(), now, effects);
  });
  EXPECT_EQ(answer->members, (std::vector{kNone, kNone, kNone}));
  EXPECT_EQ(size(), 0u);
  EXPECT_EQ(world.describe_consumer().group_epoch, epoch + 1) << "one change";
}

TEST_F(ConsumerLeaveTest, AnEmptyGroupEndsWithItsOffsets) {
  GroupConfig config = at_once();
  config.offsets_retention_ms = 100'000;
  config.offsets_retention_check_interval_ms = 10'000;
  GroupWorld short_lived(config);
  short_lived.image = world.image;
  short_lived.restart();
  a.join(short_lived);
  short_lived.commit("g", "t", 0, 7, "a", a.epoch);
  for (int i = 0; i < 10; ++i) {
    short_lived.advance(20'000);
    ASSERT_EQ(a.heartbeat(short_lived), kNone);
  }
  EXPECT_EQ(short_lived.fetch("g", "t", 0).offset, 7) << "the group subscribes to the topic";
  a.leave(short_lived);
  short_lived.advance(20'000);
  EXPECT_EQ(short_lived.fetch("g", "t", 0).offset, -1);
  EXPECT_TRUE(short_lived.list().empty());
  short_lived.restart();
  EXPECT_TRUE(short_lived.list().empty());
}

TEST_F(ConsumerLeaveTest, OnlyAnEmptyGroupIsDeleted) {
  a.join(world);
  world.commit("g", "t", 0, 7, "a", a.epoch);
  EXPECT_EQ(world.delete_group("g"), kNonEmptyGroup);
  a.leave(world);
  EXPECT_EQ(world.delete_group("g"), kNone);
  EXPECT_TRUE(world.list().empty());
  world.restart();
  EXPECT_TRUE(world.list().empty());
  EXPECT_EQ(world.state->memory_bytes(), 0);
}

TEST_F(ConsumerLeaveTest, AMemberWithoutItsMetadataIsRemovedAfterLoading) {
  join_both();
  world.log.push_back({encode(ConsumerMemberEntry{"g", "a", std::nullopt})});
  world.restart();
  EXPECT_EQ(size(), 1u);
  EXPECT_EQ(a.heartbeat(world), kUnknownMemberId);
  settle({&b});
  EXPECT_EQ(b.count(), 6u);
}

TEST_F(ConsumerLeaveTest, AGroupWhoseEpochWasLostGoesOn) {
  join_both();
  ASSERT_EQ(a.epoch, 2);
  const std::string key = encode(ConsumerGroupEntry{"g", std::nullopt}).key;
  std::erase_if(world.log, [&](const LogEntry& entry) { return std::get<CoordinatorRecord>(entry.what).key == key; });
  world.restart();
  EXPECT_EQ(world.describe_consumer().group_epoch, 3);
  settle({&a, &b});
  EXPECT_EQ(a.epoch, 3);
  EXPECT_EQ(a.count() + b.count(), 6u);
  EXPECT_EQ(world.describe_consumer().state, "Stable");
}

TEST_F(ConsumerLeaveTest, AMemberWhosePartitionsAreAnothersIsRemovedAfterLoading) {
  join_both();
  CurrentAssignment all{b.epoch, b.epoch, MemberState::kStable, {}, {}};
  all.assigned.push_back({TestImage::id_of("t"), {0, 1, 2, 3, 4, 5}, {1, 1, 1, 1, 1, 1}});
  world.log.push_back({encode(CurrentAssignmentEntry{"g", "b", all})});
  world.restart();
  EXPECT_EQ(size(), 1u);
  EXPECT_EQ(b.full_heartbeat(world), kNone);
}

}  // namespace
}  // namespace weir::coordination
