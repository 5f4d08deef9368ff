// Static members of classic groups: members with an instance id.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordination/group/classic/classic_group_fixture.h"

namespace weir::coordination {
namespace {

using ClassicStaticMembersTest = ClassicGroupTest;

TEST_F(ClassicStaticMembersTest, StaticMemberComesBackWithoutARebalance) {
  const auto ids = stable_group(2, {}, true);
  const std::string instance = *world.describe().members[0].instance_id;
  const std::string old_id = world.describe().members[0].member_id;
  GroupWorld::JoinOptions options;
  options.instance = instance;
  const auto back = world.join("", options);
  ASSERT_TRUE(back.answered());
  EXPECT_EQ(back->generation, generation);
  EXPECT_NE(back->member_id, old_id);
  EXPECT_EQ(back->skip_assignment, old_id == ids[0]);
  EXPECT_EQ(world.sync(back->member_id, generation, {}, instance)->assignment, "for " + old_id);
  EXPECT_EQ(world.heartbeat(old_id, generation, instance), ErrorCode::kFencedInstanceId);
  EXPECT_EQ(world.heartbeat(back->member_id, generation, instance), ErrorCode::kNone);
  EXPECT_EQ(world.heartbeat(back->member_id, generation, "nobody"), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(world.group_state(), "Stable");
}

TEST_F(ClassicStaticMembersTest, OlderStaticLeadersAreToldTheOldLeadersId) {
  const auto ids = stable_group(1, {}, true);
  GroupWorld::JoinOptions options;
  options.instance = "i0";
  options.can_skip = false;
  const auto back = world.join("", options);
  EXPECT_EQ(back->leader, ids[0]);
  EXPECT_FALSE(back->skip_assignment);
}

TEST_F(ClassicStaticMembersTest, WaitingStaticMemberIsFencedByItsSuccessor) {
  GroupWorld::JoinOptions options;
  options.instance = "i";
  const auto first = world.join("", options);
  const auto second = world.join("", options);
  EXPECT_EQ(first->error, ErrorCode::kFencedInstanceId);
  world.advance(0);
  EXPECT_EQ(second->members.size(), 1u);
}

TEST_F(ClassicStaticMembersTest, StaticMembersSurviveRebalancesUntilTheirSessionEnds) {
  GroupWorld::JoinOptions options;
  options.session_ms = 100'000;
  const auto ids = stable_group(2, options, true);
  const std::string leader_instance = world.describe().members[0].member_id == ids[0] ? *world.describe().members[0].instance_id
                                                                                      : *world.describe().members[1].instance_id;
  options.instance = leader_instance;
  const auto leader = world.join(ids[0], options);
  world.advance(30'000);
  EXPECT_EQ(leader->members.size(), 2u);
  // An administrator removes it by its instance id.
  EXPECT_EQ(world.leave("", leader_instance == "i0" ? "i1" : "i0"), ErrorCode::kNone);
  EXPECT_EQ(world.describe().members.size(), 1u);
  EXPECT_EQ(world.leave("", "nobody"), ErrorCode::kUnknownMemberId);
}

// With a walk over all members for each join this would take minutes.

}  // namespace
}  // namespace weir::coordination
