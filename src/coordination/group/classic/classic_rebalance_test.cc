#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "coordination/group/classic/classic_group_fixture.h"

namespace weir::coordination {
namespace {

class ClassicRebalanceTest : public ClassicGroupTest {
 protected:
  using ClassicGroupTest::ClassicGroupTest;
};

TEST_F(ClassicRebalanceTest, OneMemberGoesThroughAllStates) {
  EXPECT_EQ(world.group_state(), "Dead");
  const auto join = world.join("");
  EXPECT_FALSE(join.answered());
  EXPECT_EQ(world.group_state(), "PreparingRebalance");
  world.advance(0);
  ASSERT_TRUE(join.answered());
  EXPECT_EQ(join->generation, 1);
  EXPECT_EQ(join->leader, join->member_id);
  EXPECT_THAT(join->member_id, ::testing::MatchesRegex("client-[0-9a-f]{8}-[0-9a-f-]{27}"));
  EXPECT_EQ(join->protocol_name, "range");
  ASSERT_EQ(join->members.size(), 1u);
  EXPECT_EQ(join->members[0].metadata, subscription({"t"}));
  EXPECT_EQ(world.group_state(), "CompletingRebalance");
  const auto sync = world.sync(join->member_id, 1, {{join->member_id, "all"}});
  EXPECT_EQ(sync->assignment, "all");
  EXPECT_EQ(world.group_state(), "Stable");
  EXPECT_EQ(world.heartbeat(join->member_id, 1), ErrorCode::kNone);
  EXPECT_EQ(world.leave(join->member_id), ErrorCode::kNone);
  EXPECT_EQ(world.group_state(), "Empty");
}

// A group is one record, and a record must fit into a segment of the topic.
TEST_F(ClassicRebalanceTest, WhatIsTooLargeForARecordIsRefused) {
  const auto ids = stable_group(2);
  world.state->limit_record(20'000);
  GroupWorld::JoinOptions large;
  large.protocols = {{"range", std::string(20'000, 'm')}};
  EXPECT_EQ(world.join("", large)->error, ErrorCode::kGroupMaxSizeReached);
  EXPECT_EQ(world.group_state(), "Stable");
  const auto first = world.join(ids[0]);
  const auto second = world.join(ids[1]);
  ASSERT_TRUE(first.answered() && second.answered());
  const auto follower = world.sync(ids[1], first->generation);
  const size_t before = world.log.size();
  EXPECT_EQ(world.sync(ids[0], first->generation, {{ids[1], std::string(20'000, 'a')}})->error, ErrorCode::kUnknownServerError);
  EXPECT_EQ(world.log.size(), before);
  EXPECT_FALSE(follower.answered());
  EXPECT_EQ(world.sync(ids[0], first->generation, {{ids[1], "a"}})->error, ErrorCode::kNone);
  EXPECT_EQ(follower->assignment, "a");
}

// What a group has in memory is many times its record.
TEST_F(ClassicRebalanceTest, AGroupWhoseRecordFitsIsTaken) {
  world.state->limit_record(20'000);
  const auto ids = stable_group(40);
  EXPECT_GT(world.memory.used_bytes(), 30'000);
  EXPECT_EQ(world.heartbeat(ids[0], generation), ErrorCode::kNone);
}

TEST_F(ClassicRebalanceTest, EagerMembersShareOneGeneration) {
  const auto ids = stable_group(2);
  ASSERT_EQ(followers.size(), 1u);
  EXPECT_EQ(followers[0]->assignment, "for " + ids[1]);
  const auto third = world.join("");
  EXPECT_EQ(world.heartbeat(ids[0], generation), ErrorCode::kRebalanceInProgress);
  EXPECT_EQ(world.heartbeat(ids[1], generation), ErrorCode::kRebalanceInProgress);
  const auto first = world.join(ids[0]);
  EXPECT_FALSE(third.answered());
  const auto second = world.join(ids[1]);
  ASSERT_TRUE(third.answered() && first.answered() && second.answered());
  EXPECT_EQ(third->generation, generation + 1);
  EXPECT_EQ(first->members.size(), 3u);
  EXPECT_TRUE(second->members.empty());
  EXPECT_EQ(world.heartbeat(ids[0], generation), ErrorCode::kIllegalGeneration);
}

// Tools that describe groups show who works on what while members come and go.
TEST_F(ClassicRebalanceTest, TheLastAssignmentIsDescribedInARebalance) {
  const auto ids = stable_group(2);
  const auto described = [&](const std::string& state) {
    const GroupDescription group = world.describe();
    EXPECT_EQ(group.state, state);
    EXPECT_EQ(group.protocol_name, "");
    std::map<std::string, std::string> assignments;
    for (const auto& member : group.members) {
      EXPECT_EQ(member.metadata, "");
      assignments[member.member_id] = member.assignment;
    }
    return assignments;
  };
  const auto third = world.join("");
  auto assignments = described("PreparingRebalance");
  EXPECT_EQ(assignments[ids[0]], "for " + ids[0]);
  EXPECT_EQ(assignments[ids[1]], "for " + ids[1]);
  const auto first = world.join(ids[0]);
  const auto second = world.join(ids[1]);
  ASSERT_TRUE(third.answered());
  assignments = described("CompletingRebalance");
  EXPECT_EQ(assignments.size(), 3u);
  EXPECT_EQ(assignments[ids[0]], "for " + ids[0]);
  EXPECT_EQ(assignments[third->member_id], "");
  // Broken off: what the leader would have said is unknown, and the old assignment is void.
  world.leave(ids[1]);
  EXPECT_EQ(described("PreparingRebalance")[ids[0]], "");
}

TEST_F(ClassicRebalanceTest, FollowerThatAsksForNothingNewKeepsTheGeneration) {
  const auto ids = stable_group(2);
  EXPECT_EQ(world.join(ids[1])->generation, generation);
  EXPECT_EQ(world.group_state(), "Stable");
  // The cooperative protocol's second rebalance: the leader, or a member with new metadata, asks for one.
  GroupWorld::JoinOptions changed;
  changed.protocols = {{"range", subscription({"t", "u"})}};
  EXPECT_FALSE(world.join(ids[1], changed).answered());
  EXPECT_EQ(world.group_state(), "PreparingRebalance");
  EXPECT_EQ(world.join(ids[0])->generation, generation + 1);
}

TEST_F(ClassicRebalanceTest, SyncIsCheckedAgainstTheGeneration) {
  const auto join = world.join("");
  world.advance(0);
  EXPECT_EQ(world.sync("nobody", 1)->error, ErrorCode::kUnknownMemberId);
  EXPECT_EQ(world.sync(join->member_id, 7)->error, ErrorCode::kIllegalGeneration);
  SyncRequest request{"g", 1, join->member_id, {}, "connect", {}, {}};
  Pending<SyncResult> answer;
  world.step([&](Effects& effects) { world.state->sync(request, answer.reply(), world.now, effects); });
  EXPECT_EQ(answer->error, ErrorCode::kInconsistentGroupProtocol);
  EXPECT_EQ(world.sync(join->member_id, 1, {}, {}, "other")->error, ErrorCode::kUnknownMemberId);
}

TEST_F(ClassicRebalanceTest, ProtocolsMustMatch) {
  GroupWorld::JoinOptions other;
  other.protocols = {};
  EXPECT_EQ(world.join("", other)->error, ErrorCode::kInconsistentGroupProtocol);
  EXPECT_EQ(world.state->group_count(), 0u);
  stable_group(1);
  other.protocols = {{"sticky", "x"}};
  EXPECT_EQ(world.join("", other)->error, ErrorCode::kInconsistentGroupProtocol);
  other.protocols = {{"range", "x"}};
  other.type = "connect";
  EXPECT_EQ(world.join("", other)->error, ErrorCode::kInconsistentGroupProtocol);
}

TEST_F(ClassicRebalanceTest, TheProtocolMostPreferAndAllSupportIsChosen) {
  GroupWorld::JoinOptions options;
  options.type = "connect";
  options.protocols = {{"a", "1"}, {"b", "2"}};
  const auto one = world.join("", options);
  options.protocols = {{"b", "3"}, {"a", "4"}};
  const auto two = world.join("", options);
  options.protocols = {{"c", "5"}, {"b", "6"}, {"a", "7"}};
  const auto three = world.join("", options);
  world.advance(0);
  EXPECT_EQ(one->protocol_name, "b");
  EXPECT_EQ(one->protocol_type, "connect");
  EXPECT_EQ(three->protocol_name, "b");
}

TEST_F(ClassicRebalanceTest, SessionTimeoutsHaveBounds) {
  GroupWorld::JoinOptions options;
  for (const int32_t bad : {5'999, 1'800'001, -1}) {
    options.session_ms = bad;
    EXPECT_EQ(world.join("", options)->error, ErrorCode::kInvalidSessionTimeout);
  }
}

TEST_F(ClassicRebalanceTest, NewClientsAreGivenAnIdFirst) {
  GroupWorld::JoinOptions options;
  options.ask_for_member_id = true;
  const auto first = world.join("", options);
  EXPECT_EQ(first->error, ErrorCode::kMemberIdRequired);
  EXPECT_EQ(world.group_state(), "Empty");
  const auto second = world.join(first->member_id, options);
  world.advance(0);
  EXPECT_EQ(second->error, ErrorCode::kNone);
  EXPECT_EQ(second->member_id, first->member_id);
  EXPECT_EQ(world.join("made-up", options)->error, ErrorCode::kUnknownMemberId);
}

TEST_F(ClassicRebalanceTest, PendingMembersHoldUpARebalanceUntilTheyExpire) {
  const auto ids = stable_group(1);
  GroupWorld::JoinOptions options;
  options.ask_for_member_id = true;
  options.session_ms = 6'000;
  const auto pending = world.join("", options);
  EXPECT_EQ(pending->error, ErrorCode::kMemberIdRequired);
  const auto leader = world.join(ids[0]);
  EXPECT_FALSE(leader.answered());
  world.advance(5'999);
  EXPECT_FALSE(leader.answered());
  world.advance(1);
  ASSERT_TRUE(leader.answered());
  EXPECT_EQ(leader->members.size(), 1u);
  EXPECT_EQ(world.join(pending->member_id, options)->error, ErrorCode::kUnknownMemberId);
}

TEST_F(ClassicRebalanceTest, SilentMemberIsRemoved) {
  const auto ids = stable_group(2);
  for (int i = 0; i < 3; ++i) {
    world.advance(6'000);
    world.heartbeat(ids[0], generation);
  }
  EXPECT_EQ(world.describe().members.size(), 1u);
  EXPECT_EQ(world.group_state(), "PreparingRebalance");
  EXPECT_EQ(world.join(ids[0])->members.size(), 1u);
  EXPECT_EQ(world.heartbeat(ids[1], generation), ErrorCode::kUnknownMemberId);
}

TEST_F(ClassicRebalanceTest, LateMembersAreRemovedAtTheRebalanceTimeout) {
  GroupWorld::JoinOptions options;
  options.session_ms = 60'000;
  const auto ids = stable_group(3, options);
  const auto second = world.join(ids[1], [&] {
    auto changed = options;
    changed.protocols = {{"range", "new"}};
    return changed;
  }());
  world.advance(29'999);
  EXPECT_FALSE(second.answered());
  world.advance(1);
  ASSERT_TRUE(second.answered());
  EXPECT_EQ(second->leader, ids[1]) << "the leader did not come";
  EXPECT_EQ(second->members.size(), 1u);
  EXPECT_EQ(world.heartbeat(ids[0], generation), ErrorCode::kUnknownMemberId);
}

TEST_F(ClassicRebalanceTest, LeaderThatLeavesIsReplaced) {
  const auto ids = stable_group(2);
  EXPECT_EQ(world.leave(ids[0]), ErrorCode::kNone);
  const auto other = world.join(ids[1]);
  EXPECT_EQ(other->leader, ids[1]);
  EXPECT_EQ(other->generation, generation + 1);
  EXPECT_EQ(world.leave("nobody"), ErrorCode::kUnknownMemberId);
}

TEST_F(ClassicRebalanceTest, MembersThatWaitAreAnsweredWhenTheyAreRemoved) {
  const auto ids = stable_group(2);
  const auto waiting = world.join("");
  const auto rejoined = world.join(ids[1]);
  EXPECT_EQ(world.leave(ids[1]), ErrorCode::kNone);
  EXPECT_EQ(rejoined->error, ErrorCode::kUnknownMemberId);
  EXPECT_FALSE(waiting.answered());
}

TEST_F(ClassicRebalanceTest, RebalanceEndsSyncsThatWait) {
  const auto one = world.join("");
  const auto two = world.join("");
  world.advance(0);
  const auto& follower = one->leader == one->member_id ? two : one;
  const auto waiting = world.sync(follower->member_id, 1);
  EXPECT_FALSE(waiting.answered());
  world.join("");
  EXPECT_EQ(waiting->error, ErrorCode::kRebalanceInProgress);
}

TEST_F(ClassicRebalanceTest, MembersThatDoNotSyncAreRemoved) {
  GroupWorld::JoinOptions options;
  options.session_ms = 60'000;
  options.rebalance_ms = 20'000;
  const auto one = world.join("", options);
  const auto two = world.join("", options);
  world.advance(0);
  const auto& leader = one->leader == one->member_id ? one : two;
  const auto& silent = one->leader == one->member_id ? two : one;
  world.sync(leader->member_id, 1);
  world.advance(20'000);
  EXPECT_EQ(world.heartbeat(silent->member_id, 1), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(world.heartbeat(leader->member_id, 1), ErrorCode::kRebalanceInProgress);
}

TEST_F(ClassicRebalanceTest, WaitingMembersNeedNoHeartbeatsButNewOnesExpire) {
  GroupWorld::JoinOptions slow;
  slow.session_ms = 6'000;
  slow.rebalance_ms = 1'000'000;
  const auto ids = stable_group(1, slow);
  const auto fresh = world.join("", slow);
  for (int i = 0; i < 59; ++i) {
    world.advance(5'000);
    EXPECT_EQ(world.heartbeat(ids[0], generation), ErrorCode::kRebalanceInProgress);
  }
  EXPECT_FALSE(fresh.answered());
  world.advance(5'000);
  EXPECT_EQ(fresh->error, ErrorCode::kUnknownMemberId);
}

TEST_F(ClassicRebalanceTest, JoiningALargeGroupCostsTheSameForEachMember) {
  constexpr size_t kMembers = 30'000;
  GroupWorld::JoinOptions options;
  options.protocols = {{"range", subscription({"t"})}, {"cooperative-sticky", subscription({"t"})}};
  const auto first = world.join("", options);
  world.advance(0);
  std::vector<Pending<JoinResult>> others;
  for (size_t i = 1; i < kMembers; ++i) others.push_back(world.join("", options));
  EXPECT_FALSE(others.back().answered());
  const auto again = world.join(first->member_id, options);
  ASSERT_TRUE(again.answered() && others.front().answered() && others.back().answered());
  EXPECT_EQ(again->members.size(), kMembers);
  EXPECT_EQ(again->protocol_name, "range");
  for (const auto& join : others) EXPECT_EQ(world.leave(join->member_id), ErrorCode::kNone);
  EXPECT_EQ(world.join(first->member_id, options)->members.size(), 1u);
}

TEST_F(ClassicRebalanceTest, RestartKeepsTheGroup) {
  const auto ids = stable_group(2);
  world.restart();
  EXPECT_EQ(world.group_state(), "Stable");
  EXPECT_EQ(world.heartbeat(ids[0], generation), ErrorCode::kNone);
  EXPECT_EQ(world.sync(ids[1], generation)->assignment, "for " + ids[1]);
  world.advance(10'000);
  EXPECT_EQ(world.group_state(), "Empty") << "sessions go on after the restart";
}

TEST_F(ClassicRebalanceTest, AbandonedStateAnswersAllThatWait) {
  const auto ids = stable_group(1);
  const auto waiting = world.join("");
  Effects effects;
  world.state->abandon(ErrorCode::kNotCoordinator, effects);
  for (Release& release : effects.replies) release(ErrorCode::kNone);
  EXPECT_EQ(waiting->error, ErrorCode::kNotCoordinator);
}

TEST_F(ClassicRebalanceTest, AnswersTurnIntoTheErrorOfAFailedAppend) {
  Pending<HeartbeatResult> answer;
  Effects effects;
  world.state->heartbeat({"g", 1, "m", {}}, answer.reply(), world.now, effects);
  effects.replies.at(0)(ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(answer->error, ErrorCode::kCoordinatorNotAvailable);
}

class InitialDelayTest : public ClassicRebalanceTest {
 protected:
  InitialDelayTest() : ClassicRebalanceTest(GroupConfig{}) {}
};

TEST_F(InitialDelayTest, FirstRebalanceWaitsForMembersThatKeepComing) {
  const auto one = world.join("");
  world.advance(2'000);
  const auto two = world.join("");
  world.advance(1'000);
  EXPECT_FALSE(one.answered()) << "a member came during the delay";
  world.advance(2'999);
  EXPECT_FALSE(one.answered());
  world.advance(1);
  EXPECT_EQ(one->generation, 1);
  EXPECT_EQ(two->generation, 1);
}

TEST_F(InitialDelayTest, TheDelayIsAtMostTheRebalanceTimeout) {
  GroupWorld::JoinOptions options;
  options.rebalance_ms = 7'000;
  const auto one = world.join("", options);
  for (int i = 0; i < 6; ++i) {
    world.advance(1'000);
    world.join("", options);
  }
  EXPECT_FALSE(one.answered());
  world.advance(1'000);
  for (int i = 0; i < 4 && !one.answered(); ++i) world.advance(1'000);
  EXPECT_EQ(one->error, ErrorCode::kNone);
}

class MaxSizeTest : public ClassicRebalanceTest {
 protected:
  MaxSizeTest()
      : ClassicRebalanceTest([] {
          auto config = no_delay();
          config.max_size = 2;
          return config;
        }()) {}
};

TEST_F(MaxSizeTest, FullGroupRefusesMore) {
  const auto ids = stable_group(2);
  EXPECT_EQ(world.join("")->error, ErrorCode::kGroupMaxSizeReached);
  EXPECT_EQ(world.group_state(), "Stable");
  EXPECT_EQ(world.join(ids[1])->error, ErrorCode::kNone);
}

}  // namespace
}  // namespace weir::coordination
