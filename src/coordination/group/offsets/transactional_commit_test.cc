// Who may commit offsets in a transaction.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

#include "coordination/group/group_world.h"

namespace weir::coordination {
namespace {

class TransactionalCommitTest : public ::testing::Test {
 protected:
  std::string stable_member(GroupWorld::JoinOptions options = {}) {
    const auto join = world.join("", options);
    world.advance(0);
    world.sync(join->member_id, join->generation, {}, options.instance);
    return join->member_id;
  }
  ErrorCode commit_as(const std::string& member, int32_t generation, std::optional<std::string> instance = {}) {
    TxnOffsetCommitRequest request;
    request.group_id = "g";
    request.member_id = member;
    request.generation = generation;
    request.instance_id = std::move(instance);
    request.producer_id = 1;
    request.producer_epoch = 0;
    request.items.push_back({"t", {}, 0, 1, -1, ""});
    return world.commit_in_transaction(std::move(request));
  }

  GroupWorld world{no_delay()};
};

TEST_F(TransactionalCommitTest, WhoNamesNoMemberIsNotChecked) {
  const std::string member = stable_member();
  EXPECT_EQ(commit_as("", -1), ErrorCode::kNone);
  world.join(member);
  EXPECT_EQ(world.group_state(), "CompletingRebalance");
  EXPECT_EQ(commit_as("", -1), ErrorCode::kNone);
}

TEST_F(TransactionalCommitTest, MemberAndGenerationAreChecked) {
  EXPECT_EQ(commit_as("nobody", -1), ErrorCode::kNone) << "without a generation, while the group has no members";
  const std::string member = stable_member();
  EXPECT_EQ(commit_as(member, 1), ErrorCode::kNone);
  EXPECT_EQ(commit_as(member, 0), ErrorCode::kIllegalGeneration);
  EXPECT_EQ(commit_as(member, 2), ErrorCode::kIllegalGeneration);
  EXPECT_EQ(commit_as(member, -1), ErrorCode::kIllegalGeneration);
  EXPECT_EQ(commit_as("nobody", 1), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(commit_as("", 1), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(commit_as("", -1, "instance"), ErrorCode::kUnknownMemberId);
  world.leave(member);
  EXPECT_EQ(commit_as(member, 2), ErrorCode::kUnknownMemberId) << "of an empty group, too, if it names a generation";
}

TEST_F(TransactionalCommitTest, StaticMembersAreFenced) {
  GroupWorld::JoinOptions options;
  options.instance = "i";
  const std::string member = stable_member(options);
  EXPECT_EQ(commit_as(member, 1, "i"), ErrorCode::kNone);
  EXPECT_EQ(commit_as("another", 1, "i"), ErrorCode::kFencedInstanceId);
  EXPECT_EQ(commit_as(member, 1, "j"), ErrorCode::kUnknownMemberId);
}

TEST_F(TransactionalCommitTest, ARebalanceDoesNotMatter) {
  const std::string member = stable_member();
  const auto again = world.join(member);
  EXPECT_EQ(world.group_state(), "CompletingRebalance");
  EXPECT_EQ(world.commit("g", "t", 0, 3, member, again->generation), ErrorCode::kRebalanceInProgress);
  EXPECT_EQ(commit_as(member, again->generation), ErrorCode::kNone);
}

TEST_F(TransactionalCommitTest, IsNoSignOfLife) {
  const std::string member = stable_member();
  world.advance(9'999);
  EXPECT_EQ(commit_as(member, 1), ErrorCode::kNone);
  world.advance(1);
  EXPECT_EQ(commit_as(member, 1), ErrorCode::kUnknownMemberId);
}

TEST_F(TransactionalCommitTest, AGenerationOfNoGroupIsRefused) {
  EXPECT_EQ(commit_as("m", 1), ErrorCode::kGroupIdNotFound);
  TxnOffsetCommitRequest old;
  old.group_id = "g";
  old.generation = 1;
  old.group_not_found_known = false;
  old.items.resize(1);
  EXPECT_EQ(world.commit_in_transaction(old), ErrorCode::kIllegalGeneration);
  EXPECT_TRUE(world.log.empty());
  EXPECT_EQ(world.state->group_count(), 0u);
  EXPECT_EQ(commit_as("m", -1), ErrorCode::kNone);
}

TEST_F(TransactionalCommitTest, RefusedOnesAreNotWritten) {
  TxnOffsetCommitRequest request;
  request.group_id = "g";
  request.producer_id = 1;
  request.items = {{"t", {}, 0, 1, -1, std::string(4'097, 'x')}, {"t", {}, 1, 2, -1, ""}};
  EXPECT_EQ(world.commit_in_transaction(request), ErrorCode::kOffsetMetadataTooLarge);
  EXPECT_EQ(world.log.size(), 1u);
  EXPECT_EQ(world.state->totals().offsets_committed, 1u);
  world.end_transaction(1, true);
  EXPECT_EQ(world.fetch("g", "t", 1).offset, 2);
}

}  // namespace
}  // namespace weir::coordination
