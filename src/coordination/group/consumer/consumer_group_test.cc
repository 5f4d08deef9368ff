#include "coordination/group/consumer/consumer_group.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "coordination/group/consumer/consumer_client.h"
#include "testing/seeded_random.h"

namespace weir::coordination {
namespace {

const Uuid kT{{1}}, kU{{2}};

ConsumerMemberMetadata subscribed_to(std::vector<std::string> topics, std::optional<std::string> regex = {}) {
  ConsumerMemberMetadata metadata;
  metadata.subscribed_topics = std::move(topics);
  metadata.subscribed_regex = std::move(regex);
  return metadata;
}

CurrentAssignment at(int32_t epoch, std::vector<int32_t> of_t, MemberState state = MemberState::kStable) {
  CurrentAssignment current{epoch, epoch - 1, state, {}, {}};
  std::vector<int32_t> epochs(of_t.size(), epoch);
  if (!of_t.empty()) current.assigned.push_back({kT, std::move(of_t), std::move(epochs)});
  return current;
}

class ConsumerGroupTest : public ::testing::Test {
 protected:
  void member(const std::string& id, std::optional<ConsumerMemberMetadata> metadata) {
    group.apply(ConsumerMemberEntry{"g", id, std::move(metadata)});
    check_memory();
  }
  void current(const std::string& id, std::optional<CurrentAssignment> assignment) {
    group.apply(CurrentAssignmentEntry{"g", id, std::move(assignment)});
    check_memory();
  }
  void target(const std::string& id, std::optional<Assignment> assignment) {
    group.apply(TargetAssignmentMemberEntry{"g", id, std::move(assignment)});
    check_memory();
  }
  void epochs(int32_t of_group, int32_t of_target) {
    group.apply(ConsumerGroupEpoch{of_group, 0});
    group.apply(TargetAssignmentEntry{"g", {{of_target, 1}}});
  }
  void resolved(const std::string& regex, std::optional<std::vector<std::string>> topics) {
    std::optional<ResolvedRegex> value;
    if (topics) value = ResolvedRegex{std::move(*topics), 1, 1};
    group.apply(ResolvedRegexEntry{"g", regex, std::move(value)});
    check_memory();
  }
  void check_memory() const {
    ASSERT_EQ(group.memory_bytes(), group.counted_memory_bytes());
    ASSERT_EQ(memory.used_bytes(), group.memory_bytes());
  }
  std::vector<std::string> topics() const {
    std::vector<std::string> names;
    for (const auto& [name, subscribers] : group.topics()) names.push_back(name);
    return names;
  }

  GroupMemory memory{1 << 20};
  ConsumerStateCounts counts{};
  SubscribedGroups index;
  ConsumerGroup group{"g", memory, &counts, &index};
};

TEST_F(ConsumerGroupTest, ItsStateFollowsTheEpochs) {
  using enum ConsumerGroupState;
  EXPECT_EQ(group.state(), kEmpty);
  member("a", subscribed_to({"t"}));
  epochs(1, 0);
  EXPECT_EQ(group.state(), kAssigning);
  epochs(1, 1);
  EXPECT_EQ(group.state(), kReconciling);
  current("a", at(1, {0}));
  EXPECT_EQ(group.state(), kStable);
  current("a", at(1, {0}, MemberState::kUnreleasedPartitions));
  EXPECT_EQ(group.state(), kReconciling);
  current("a", at(2, {0}));
  EXPECT_EQ(group.state(), kReconciling) << "not the target's epoch";
  current("a", at(1, {0}));
  member("b", subscribed_to({"t"}));
  EXPECT_EQ(group.state(), kReconciling);
  current("b", at(1, {}));
  EXPECT_EQ(group.state(), kStable);
  EXPECT_EQ(counts, (ConsumerStateCounts{0, 0, 0, 1}));
  for (const char* id : {"a", "b"}) {
    current(id, std::nullopt);
    member(id, std::nullopt);
  }
  EXPECT_EQ(group.state(), kEmpty);
  EXPECT_EQ(counts, (ConsumerStateCounts{1, 0, 0, 0}));
}

TEST_F(ConsumerGroupTest, TopicsAreCountedByNameAndByExpression) {
  member("a", subscribed_to({"t", "u"}));
  member("b", subscribed_to({"u"}, "v.*"));
  EXPECT_EQ(topics(), (std::vector<std::string>{"t", "u"}));
  EXPECT_EQ(group.unresolved_regexes(), 1u);
  resolved("v.*", {{"u", "v1"}});
  EXPECT_EQ(group.unresolved_regexes(), 0u);
  EXPECT_EQ(topics(), (std::vector<std::string>{"t", "u", "v1"}));
  EXPECT_TRUE(group.subscribes(*group.find("b"), "v1"));
  EXPECT_FALSE(group.subscribes(*group.find("a"), "v1"));
  const uint64_t version = group.topics_version();
  member("a", subscribed_to({"t"}));
  EXPECT_EQ(group.topics_version(), version) << "the same topics: b subscribes to u";
  member("b", subscribed_to({}));
  resolved("v.*", std::nullopt);
  EXPECT_EQ(topics(), std::vector<std::string>{"t"});
  EXPECT_NE(group.topics_version(), version);
  EXPECT_TRUE(index.find("t")->contains(&group));
  EXPECT_EQ(index.find("v1"), nullptr);
}

TEST_F(ConsumerGroupTest, SubscriptionsAreEqualOrNot) {
  EXPECT_TRUE(group.equal_subscriptions());
  member("a", subscribed_to({"t", "u"}));
  member("b", subscribed_to({"t", "u"}));
  EXPECT_TRUE(group.equal_subscriptions());
  member("b", subscribed_to({"t", "v"}));
  EXPECT_FALSE(group.equal_subscriptions());
  member("b", subscribed_to({"t", "u"}, "x"));
  EXPECT_FALSE(group.equal_subscriptions());
  member("a", subscribed_to({"t", "u"}, "x"));
  EXPECT_TRUE(group.equal_subscriptions());
  member("a", subscribed_to({"t", "u"}, "y"));
  EXPECT_FALSE(group.equal_subscriptions());
}

TEST_F(ConsumerGroupTest, MostMembersChooseTheAssignor) {
  EXPECT_EQ(group.assignor("uniform"), "uniform");
  ConsumerMemberMetadata range = subscribed_to({"t"});
  range.server_assignor = "range";
  member("a", range);
  EXPECT_EQ(group.assignor("uniform"), "range");
  ConsumerMemberMetadata other = subscribed_to({"t"});
  other.server_assignor = "uniform";
  member("b", other);
  member("c", other);
  EXPECT_EQ(group.assignor("range"), "uniform");
  member("b", range);
  EXPECT_EQ(group.assignor("uniform"), "range");
}

TEST_F(ConsumerGroupTest, APartitionIsOwnedUntilItIsGivenUp) {
  member("a", subscribed_to({"t"}));
  member("b", subscribed_to({"t"}));
  CurrentAssignment gives_up = at(1, {0});
  gives_up.pending_revocation.push_back({kT, {3}, {1}});
  current("a", gives_up);
  const int32_t a = group.find("a")->number;
  EXPECT_EQ(group.owner(kT, 0), a);
  EXPECT_EQ(group.owner(kT, 3), a);
  EXPECT_EQ(group.owner(kT, 1), PartitionOwners::kNobody);
  EXPECT_EQ(group.owner(kU, 0), PartitionOwners::kNobody);
  current("b", at(2, {3}));  // as in a compacted log, before the record of a that gave it up
  current("a", at(2, {0}));
  EXPECT_EQ(group.owner(kT, 3), group.find("b")->number) << "what is another's is not taken away";
  current("a", at(3, {0}));
  EXPECT_EQ(group.owner(kT, 0), a) << "the same partition in another epoch";
  current("a", std::nullopt);
  EXPECT_EQ(group.owner(kT, 0), PartitionOwners::kNobody);
}

TEST_F(ConsumerGroupTest, NumbersOfPartitionsWithoutMeaningCostNothing) {
  member("a", subscribed_to({"t"}));
  current("a", at(1, {-1, INT32_MAX}));
  EXPECT_EQ(group.owner(kT, INT32_MAX), PartitionOwners::kNobody);
  EXPECT_LT(group.memory_bytes(), 10'000);
  current("a", std::nullopt);
}

TEST_F(ConsumerGroupTest, TheInstanceIdFollowsItsMember) {
  ConsumerMemberMetadata metadata = subscribed_to({"t"});
  metadata.instance_id = "i";
  member("a", metadata);
  member("b", metadata);  // as in a takeover whose tombstones compaction took
  EXPECT_EQ(group.static_member("i")->id, "b");
  member("a", std::nullopt);
  EXPECT_EQ(group.static_member("i")->id, "b");
  metadata.instance_id = "j";
  member("b", metadata);
  EXPECT_EQ(group.static_member("i"), nullptr);
  EXPECT_EQ(group.static_member("j")->id, "b");
}

TEST_F(ConsumerGroupTest, TombstonesOfTheUnknownAreIgnored) {
  const int64_t before = group.memory_bytes();
  member("a", std::nullopt);
  current("a", std::nullopt);
  target("a", std::nullopt);
  resolved("x", std::nullopt);
  EXPECT_EQ(group.size(), 0u);
  EXPECT_EQ(group.memory_bytes(), before);
}

TEST_F(ConsumerGroupTest, TheOrderOfRecordsDoesNotMatter) {
  std::vector<GroupRecord> records;
  ConsumerMemberMetadata metadata = subscribed_to({"t", "u"}, "v.*");
  metadata.instance_id = "i";
  metadata.server_assignor = "range";
  records.push_back(ConsumerMemberEntry{"g", "a", metadata});
  records.push_back(ConsumerMemberEntry{"g", "b", subscribed_to({"t"})});
  records.push_back(CurrentAssignmentEntry{"g", "a", at(4, {0, 1})});
  records.push_back(CurrentAssignmentEntry{"g", "b", at(4, {2})});
  records.push_back(TargetAssignmentMemberEntry{"g", "a", Assignment{{kT, {0, 1}}}});
  records.push_back(TargetAssignmentMemberEntry{"g", "b", Assignment{{kT, {2}}}});
  records.push_back(TargetAssignmentEntry{"g", {{4, 77}}});
  records.push_back(ConsumerGroupEntry{"g", ConsumerGroupEpoch{4, 99}});
  records.push_back(ResolvedRegexEntry{"g", "v.*", ResolvedRegex{{"v1"}, 1, 1}});
  testing::SeededRandom random(1);
  std::vector<CoordinatorRecord> first;
  for (int round = 0; round < 50; ++round) {
    for (size_t i = records.size() - 1; i > 0; --i) std::swap(records[i], records[random.below(i + 1)]);
    GroupWorld world;
    for (const GroupRecord& record : records) world.log.push_back({encode(record)});
    world.image = image_with({{"t", {3}}});
    world.restart();
    const std::vector<CoordinatorRecord> found = world.state->snapshot();
    if (round == 0) first = found;
    ASSERT_EQ(found, first);
    ASSERT_EQ(world.state->consumer_state_counts(), (ConsumerStateCounts{0, 0, 0, 1})) << "stable";
    ASSERT_EQ(world.state->memory_bytes(), world.state->counted_memory_bytes());
  }
  EXPECT_EQ(first.size(), 9u);
}

TEST_F(ConsumerGroupTest, RecordsOfAnotherTypeReplaceAGroup) {
  GroupWorld world;
  const auto add = [&](const GroupRecord& record) { world.log.push_back({encode(record)}); };
  add(OffsetEntry{"g", "t", 0, CommittedOffset{5, -1, "", 1, -1, {}, -1}});
  add(ConsumerGroupEntry{"g", ConsumerGroupEpoch{1, 0}});
  add(GroupMetadataEntry{"g", std::nullopt});  // old
  world.restart();
  EXPECT_EQ(world.list().at(0).type, "consumer");
  GroupMetadata classic;
  classic.protocol_type = "consumer";
  add(GroupMetadataEntry{"g", classic});
  add(ConsumerGroupEntry{"g", std::nullopt});  // old as well
  add(ConsumerMemberEntry{"g", "a", std::nullopt});
  world.restart();
  EXPECT_EQ(world.list().at(0).type, "classic");
  EXPECT_EQ(world.fetch("g", "t", 0).offset, 5);
}

}  // namespace
}  // namespace weir::coordination
