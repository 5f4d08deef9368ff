#include <gtest/gtest.h>

#include "coordination/group/group_world.h"

namespace weir::coordination {
namespace {

constexpr int64_t kDay = 24ll * 3'600 * 1'000;

class GroupOffsetsTest : public ::testing::Test {
 protected:
  // One member whose generation is complete.
  std::string stable_member(GroupWorld::JoinOptions options = {}) {
    const auto join = world.join("", options);
    world.advance(0);
    world.sync(join->member_id, join->generation);
    return join->member_id;
  }
  // Days during which the member stays alive.
  void live(const std::string& member_id, int64_t ms) {
    for (int64_t passed = 0; passed < ms; passed += kDay) {
      world.to(world.now.monotonic_ms + kDay - 5'000);
      ASSERT_EQ(world.heartbeat(member_id, 1), ErrorCode::kNone);
      world.advance(5'000);
    }
  }

  GroupWorld world{no_delay()};
};

TEST_F(GroupOffsetsTest, AnybodyCommitsToAGroupWithoutMembers) {
  EXPECT_EQ(world.fetch("g", "t", 0).offset, -1);
  EXPECT_EQ(world.commit("g", "t", 0, 42), ErrorCode::kNone);
  const FetchedOffset offset = world.fetch("g", "t", 0);
  EXPECT_EQ(offset.offset, 42);
  EXPECT_EQ(offset.leader_epoch, 3);
  EXPECT_EQ(offset.metadata, "meta");
  EXPECT_EQ(world.fetch("g", "t", 1).offset, -1);
  EXPECT_EQ(world.fetch("h", "t", 0).offset, -1);
  EXPECT_EQ(world.group_state(), "Empty");
}

TEST_F(GroupOffsetsTest, CommitsAreFencedByMemberAndGeneration) {
  const std::string member = stable_member();
  EXPECT_EQ(world.state->state_counts(), (GroupStateCounts{0, 0, 0, 1})) << "Stable";
  EXPECT_EQ(world.state->totals().rebalances, 1u);
  EXPECT_EQ(world.commit("g", "t", 0, 1, member, 1), ErrorCode::kNone);
  EXPECT_EQ(world.commit("g", "t", 0, 2, member, 0), ErrorCode::kIllegalGeneration);
  EXPECT_EQ(world.commit("g", "t", 0, 2, "nobody", 1), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(world.commit("g", "t", 0, 2), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(world.commit("h", "t", 0, 2, member, 1), ErrorCode::kGroupIdNotFound);
  OffsetCommitRequest old;
  old.group_id = "h";
  old.generation = 1;
  old.group_not_found_known = false;
  old.items.resize(1);
  EXPECT_EQ(world.commit(old), ErrorCode::kIllegalGeneration);
  EXPECT_EQ(world.fetch("g", "t", 0).offset, 1);
  // While the next generation is being prepared, members may still commit; before its assignment is known, they may not.
  const auto again = world.join(member);
  EXPECT_EQ(world.group_state(), "CompletingRebalance");
  EXPECT_EQ(world.state->state_counts(), (GroupStateCounts{0, 0, 1, 0}));
  EXPECT_EQ(world.commit("g", "t", 0, 3, member, again->generation), ErrorCode::kRebalanceInProgress);
}

TEST_F(GroupOffsetsTest, MetadataHasABound) {
  OffsetCommitRequest request;
  request.group_id = "g";
  request.items.push_back({"t", {}, 0, 1, -1, std::string(4'096, 'x')});
  request.items.push_back({"t", {}, 1, 1, -1, std::string(4'097, 'x')});
  // In UTF-16 units, as Kafka counts: 2 bytes are one, 4 are two.
  std::string umlauts, clefs;
  for (int i = 0; i < 4'096; ++i) umlauts += "\xc3\xa4";
  for (int i = 0; i < 2'048; ++i) clefs += "\xf0\x9d\x84\x9e";
  request.items.push_back({"t", {}, 2, 1, -1, umlauts});
  request.items.push_back({"t", {}, 3, 1, -1, clefs});
  request.items.push_back({"t", {}, 4, 1, -1, clefs + "x"});
  Pending<OffsetCommitResult> answer;
  world.step([&](Effects& effects) { world.state->commit_offsets(request, answer.reply(), world.now, effects); });
  EXPECT_EQ(answer->items, (std::vector{ErrorCode::kNone, ErrorCode::kOffsetMetadataTooLarge, ErrorCode::kNone, ErrorCode::kNone,
                                        ErrorCode::kOffsetMetadataTooLarge}));
  EXPECT_EQ(world.state->totals().offsets_committed, 3u);
  EXPECT_EQ(world.fetch("g", "t", 1).offset, -1);
}

TEST_F(GroupOffsetsTest, OffsetsOfARecreatedTopicAreAbsent) {
  Uuid old_id, new_id;
  old_id.bytes[0] = 1;
  new_id.bytes[0] = 2;
  OffsetCommitRequest request;
  request.group_id = "g";
  request.items.push_back({"t", old_id, 0, 7, -1, ""});
  EXPECT_EQ(world.commit(request), ErrorCode::kNone);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(world.fetch("g", "t", 0, old_id).offset, 7);
    EXPECT_EQ(world.fetch("g", "t", 0).offset, 7);
    EXPECT_EQ(world.fetch("g", "t", 0, new_id).offset, -1);
    world.restart();
  }
}

TEST_F(GroupOffsetsTest, OffsetsOfAnEmptyGroupExpireByTheirCommit) {
  world.commit("g", "t", 0, 1);
  world.advance(6 * kDay);
  world.commit("g", "t", 1, 1);
  world.advance(kDay + 600'000);
  EXPECT_EQ(world.fetch("g", "t", 0).offset, -1);
  EXPECT_EQ(world.fetch("g", "t", 1).offset, 1);
  EXPECT_EQ(world.state->group_count(), 1u);
  world.advance(6 * kDay);
  EXPECT_EQ(world.state->group_count(), 0u) << "the group goes with its last offset";
  world.restart();
  EXPECT_EQ(world.state->group_count(), 0u);
}

TEST_F(GroupOffsetsTest, OffsetsOfAGroupThatHadMembersExpireByItsEnd) {
  const std::string member = stable_member();
  world.commit("g", "t", 0, 1, member, 1);
  world.commit("g", "unsubscribed", 0, 1, member, 1);
  live(member, 8 * kDay);
  EXPECT_EQ(world.fetch("g", "t", 0).offset, 1) << "the member subscribes to it";
  EXPECT_EQ(world.fetch("g", "unsubscribed", 0).offset, -1);
  world.leave(member);
  world.advance(7 * kDay - 600'000);
  EXPECT_EQ(world.fetch("g", "t", 0).offset, 1);
  world.advance(1'200'000);
  EXPECT_EQ(world.fetch("g", "t", 0).offset, -1);
}

TEST_F(GroupOffsetsTest, OffsetsOfOtherProtocolsDoNotExpireWhileThereAreMembers) {
  GroupWorld::JoinOptions options;
  options.type = "connect";
  const std::string member = stable_member(options);
  world.commit("g", "t", 0, 1, member, 1);
  live(member, 8 * kDay);
  EXPECT_EQ(world.fetch("g", "t", 0).offset, 1);
}

TEST_F(GroupOffsetsTest, OldVersionsBringTheirOwnRetention) {
  OffsetCommitRequest request;
  request.group_id = "g";
  request.retention_ms = 1'000;
  request.items.push_back({"t", {}, 0, 9, 3, "m"});
  EXPECT_EQ(world.commit(request), ErrorCode::kNone);
  world.restart();
  EXPECT_EQ(world.fetch("g", "t", 0).offset, 9);
  world.advance(600'001);
  EXPECT_EQ(world.fetch("g", "t", 0).offset, -1);
}

TEST_F(GroupOffsetsTest, OffsetsOfADeletedTopicAreRemoved) {
  const Uuid old_id{{1}}, new_id{{2}};
  const auto commit_with_id = [&](const std::string& group, const std::string& topic, Uuid id) {
    OffsetCommitRequest request;
    request.group_id = group;
    request.items.push_back({topic, id, 0, 7, 3, ""});
    EXPECT_EQ(world.commit(std::move(request)), ErrorCode::kNone);
  };
  for (int i = 0; i < 2'000; ++i) commit_with_id("g" + std::to_string(i), "t", old_id);
  commit_with_id("new", "t", new_id);
  commit_with_id("unknown id", "t", {});
  commit_with_id("other", "u", old_id);
  const size_t log_before = world.log.size();
  const ImageChange change{world.image, world.image, {{"t", old_id}}, {}, {}};
  world.step([&](Effects& effects) { world.state->image_changed(change, world.now, effects); });
  world.step([&](Effects& effects) { world.state->tick({world.now.monotonic_ms + 1, world.now.wall_ms}, effects); });
  EXPECT_GT(world.log.size(), log_before);
  EXPECT_LT(world.log.size(), log_before + 1'000) << "all in one step";
  world.advance(1'000);
  EXPECT_EQ(world.log.size(), log_before + 2'001) << "tombstones";
  EXPECT_EQ(world.state->offset_count(), 2u);
  EXPECT_EQ(world.fetch("new", "t", 0).offset, 7);
  EXPECT_EQ(world.fetch("other", "u", 0).offset, 7);
  EXPECT_EQ(world.group_state("g0"), "Empty") << "the group stays";
  world.restart();
  EXPECT_EQ(world.state->offset_count(), 2u);
}

TEST_F(GroupOffsetsTest, DeletionsThatWereMissedAreMadeUpFor) {
  const Uuid gone{{1}}, there{{2}};
  for (const auto& [topic, id] : {std::pair("t", gone), {"u", there}, {"no id", Uuid()}}) {
    OffsetCommitRequest request;
    request.group_id = "g";
    request.items.push_back({topic, id, 0, 7, 3, ""});
    EXPECT_EQ(world.commit(std::move(request)), ErrorCode::kNone);
  }
  world.advance(10);
  const std::string unheard = "a topic this coordinator has not heard of";
  world.image = std::make_shared<TestImage>(std::set<std::string, std::less<>>{"no id", unheard}, std::set<Uuid>{gone});
  world.restart();
  world.commit("g", unheard, 0, 5);
  world.advance(10);
  EXPECT_EQ(world.state->offset_count(), 2u);
  EXPECT_EQ(world.fetch("g", "u", 0).offset, 7);
}

TEST_F(GroupOffsetsTest, FullMemoryTakesNothingNew) {
  world.commit("g", "t", 0, 5);
  const auto member = world.join("");
  world.memory.add(world.memory.limit_bytes());
  EXPECT_EQ(world.commit("g", "u", 0, 5), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(world.commit("h", "t", 0, 5), ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(world.join("")->error, ErrorCode::kCoordinatorNotAvailable);
  GroupWorld::JoinOptions options;
  options.group = "new";
  EXPECT_EQ(world.join("", options)->error, ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(world.group_state("new"), "Dead");
  EXPECT_EQ(world.memory.last_refusal_ms(), world.now.monotonic_ms);
  // What is known goes on.
  world.advance(3'000);
  ASSERT_TRUE(member.answered());
  world.sync(member->member_id, 1, {{member->member_id, "a"}});
  EXPECT_EQ(world.commit("g", "t", 0, 6, member->member_id, 1), ErrorCode::kNone);
  EXPECT_EQ(world.commit("g", "t", 1, 6, member->member_id, 1), ErrorCode::kCoordinatorNotAvailable);
  world.memory.add(-world.memory.limit_bytes());
  EXPECT_EQ(world.commit("g", "t", 1, 6, member->member_id, 1), ErrorCode::kNone);
}

// Whoever makes offsets or groups without end leaves room for members of groups that are there.
TEST_F(GroupOffsetsTest, OffsetsAndGroupsLeaveRoomForMembers) {
  world.commit("g", "t", 0, 5);
  const int64_t eighth = world.memory.limit_bytes() / 8;
  world.memory.add(6 * eighth);
  EXPECT_EQ(world.commit("g", "t", 1, 5), ErrorCode::kCoordinatorNotAvailable);
  GroupWorld::JoinOptions options;
  options.group = "new";
  options.ask_for_member_id = true;
  EXPECT_EQ(world.join("", options)->error, ErrorCode::kMemberIdRequired);
  world.memory.add(eighth);
  options.group = "another";
  EXPECT_EQ(world.join("", options)->error, ErrorCode::kCoordinatorNotAvailable);
  options.group = "g";
  EXPECT_EQ(world.join("", options)->error, ErrorCode::kMemberIdRequired);
  world.memory.add(-7 * eighth);
}

TEST_F(GroupOffsetsTest, DeletionSparesWhatIsInUse) {
  EXPECT_EQ(world.delete_offset("g", "t", 0), ErrorCode::kGroupIdNotFound);
  world.commit("g", "t", 0, 1);
  world.commit("g", "u", 0, 1);
  const std::string member = stable_member();
  EXPECT_EQ(world.delete_offset("g", "t", 0), ErrorCode::kGroupSubscribedToTopic);
  EXPECT_EQ(world.delete_offset("g", "u", 0), ErrorCode::kNone);
  EXPECT_EQ(world.delete_offset("g", "u", 7), ErrorCode::kNone);
  EXPECT_EQ(world.fetch("g", "t", 0).offset, 1);
  EXPECT_EQ(world.fetch("g", "u", 0).offset, -1);
  EXPECT_EQ(world.delete_group("g"), ErrorCode::kNonEmptyGroup);
  world.leave(member);
  EXPECT_EQ(world.delete_group("g"), ErrorCode::kNone);
  EXPECT_EQ(world.delete_group("g"), ErrorCode::kGroupIdNotFound);
  world.restart();
  EXPECT_EQ(world.state->group_count(), 0u);
  EXPECT_EQ(world.state->offset_count(), 0u);
}

TEST_F(GroupOffsetsTest, DeletionNeedsAnEmptyGroupOfOtherProtocols) {
  GroupWorld::JoinOptions options;
  options.type = "connect";
  stable_member(options);
  EXPECT_EQ(world.delete_offset("g", "t", 0), ErrorCode::kNonEmptyGroup);
}

TEST_F(GroupOffsetsTest, UnknownAndDamagedRecordsDoNotHarm) {
  const std::string key("\x00\x63junk", 6);
  EXPECT_TRUE(world.state->replay(-1, {}, as_bytes(key), as_bytes("whatever")));
  EXPECT_TRUE(world.state->replay(-1, {}, as_bytes(key), std::nullopt));
  EXPECT_FALSE(world.state->replay(-1, {}, as_bytes(""), std::nullopt));
  const CoordinatorRecord good = encode(OffsetEntry{"g", "t", 0, CommittedOffset()});
  EXPECT_FALSE(world.state->replay(-1, {}, as_bytes(good.key), as_bytes("")));
  EXPECT_FALSE(world.state->replay(-1, {}, as_bytes(good.key), as_bytes(std::string("\x00\x63", 2))));
  for (size_t cut = 0; cut < good.key.size(); ++cut) {
    EXPECT_FALSE(world.state->replay(-1, {}, as_bytes(std::string_view(good.key).substr(0, cut)), as_bytes(*good.value)));
  }
  EXPECT_EQ(world.state->group_count(), 0u);
}

}  // namespace
}  // namespace weir::coordination
