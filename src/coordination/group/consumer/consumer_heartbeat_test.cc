#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "coordination/group/consumer/consumer_client.h"

namespace weir::coordination {
namespace {

using enum ErrorCode;

GroupConfig at_once() {
  GroupConfig config;
  config.consumer.assignment_interval_ms.value = 0;
  return config;
}

class ConsumerHeartbeatTest : public ::testing::Test {
 protected:
  ConsumerHeartbeatTest() : world(at_once()) {
    world.image = image_with({{"t", {6}}, {"u", {3}}});
    restart();
  }
  void restart() { world.restart(); }
  ConsumerClient client(std::string id) {
    ConsumerClient made;
    made.id = std::move(id);
    return made;
  }
  std::string state() { return std::string(world.describe_consumer().state); }
  int32_t group_epoch() { return world.describe_consumer().group_epoch; }
  ConsumerGroupDescription::Member described(const std::string& id) {
    for (auto& member : world.describe_consumer().members) {
      if (member.member_id == id) return member;
    }
    ADD_FAILURE() << id << " is not a member";
    return {};
  }
  // Heartbeats of all until nothing changes.
  void settle(std::vector<ConsumerClient*> clients) {
    for (int round = 0; round < 10; ++round) {
      for (ConsumerClient* one : clients) EXPECT_EQ(one->heartbeat(world), kNone) << one->last.error_message.value_or("");
    }
  }

  GroupWorld world;
};

TEST_F(ConsumerHeartbeatTest, TheFirstMemberGetsEverything) {
  ConsumerClient a = client("");
  EXPECT_EQ(a.join(world), kNone);
  EXPECT_EQ(a.id.size(), 22u) << "the coordinator made an id";
  EXPECT_EQ(a.epoch, 1);
  EXPECT_EQ(a.last.heartbeat_interval_ms, 5'000);
  EXPECT_EQ(a.assigned, partitions_of("t", {0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(state(), "Stable");
  const size_t records = world.log.size();
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_FALSE(a.last.assignment) << "it has not changed";
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_EQ(world.log.size(), records) << "an idle heartbeat writes nothing";
}

TEST_F(ConsumerHeartbeatTest, TheRecordsOfAChangeAreOneBatch) {
  ConsumerClient a = client("a");
  a.join(world);
  ASSERT_EQ(world.log.size(), 5u);  // member, epoch, target of the member, epoch of the target, assignment
  EXPECT_FALSE(world.log[0].joined);
  for (size_t i = 1; i < world.log.size(); ++i) EXPECT_TRUE(world.log[i].joined) << i;
}

TEST_F(ConsumerHeartbeatTest, ALargeAssignmentIsSeveralBatches) {
  world.image = image_with({{"t", {70'000}}});
  restart();
  ConsumerClient a = client("a");
  a.join(world);
  EXPECT_EQ(a.count(), 70'000u);
  EXPECT_EQ(std::ranges::count_if(world.log, [](const LogEntry& entry) { return !entry.joined; }), 2);
}

TEST_F(ConsumerHeartbeatTest, TheOrderOfNamesDoesNotMatter) {
  ConsumerClient a = client("a");
  a.topics = {"u", "t"};
  a.join(world);
  const size_t records = world.log.size();
  EXPECT_EQ(a.full_heartbeat(world), kNone);
  EXPECT_EQ(world.log.size(), records);
}

TEST_F(ConsumerHeartbeatTest, MembersAreReconciledOneByOne) {
  ConsumerClient a = client("a"), b = client("b");
  a.join(world);
  a.slow = true;
  EXPECT_EQ(b.join(world), kNone);
  EXPECT_EQ(b.epoch, 2);
  EXPECT_TRUE(b.assigned.empty()) << "a has all partitions";
  EXPECT_EQ(state(), "Reconciling");

  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_EQ(a.epoch, 1) << "it has to give up partitions first";
  ASSERT_EQ(a.assigned.size(), 1u);
  EXPECT_EQ(a.assigned[0].partitions.size(), 3u);
  EXPECT_EQ(b.heartbeat(world), kNone);
  EXPECT_EQ(b.count(), 0u);

  a.revoke();
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_EQ(a.epoch, 2);
  EXPECT_EQ(b.heartbeat(world), kNone);
  EXPECT_EQ(b.count(), 3u);
  EXPECT_EQ(state(), "Stable");
}

TEST_F(ConsumerHeartbeatTest, EveryPartitionGoesToOneMember) {
  ConsumerClient a = client("a"), b = client("b"), c = client("c");
  a.join(world);
  b.join(world);
  c.join(world);
  settle({&a, &b, &c});
  EXPECT_EQ(a.count(), 2u);
  EXPECT_EQ(b.count(), 2u);
  EXPECT_EQ(c.count(), 2u);
  EXPECT_EQ(state(), "Stable");
  const auto shown = described("b");
  EXPECT_EQ(shown.client_host, "/10.0.0.1");
  EXPECT_EQ(shown.subscribed_topics, std::vector<std::string>{"t"});
  EXPECT_EQ(shown.type, 1);
  ASSERT_EQ(shown.assigned.size(), 1u);
  EXPECT_EQ(shown.assigned[0].topic, "t");
  EXPECT_EQ(shown.target[0].partitions, shown.assigned[0].partitions);
}

TEST_F(ConsumerHeartbeatTest, AGroupThatIsNotThereNeedsEpochZero) {
  ConsumerClient a = client("a");
  a.epoch = 3;
  EXPECT_EQ(a.heartbeat(world), kGroupIdNotFound);
  EXPECT_EQ(a.leave(world), kGroupIdNotFound);
  EXPECT_TRUE(world.list().empty());
}

TEST_F(ConsumerHeartbeatTest, AnUnknownMemberIsTold) {
  ConsumerClient a = client("a"), b = client("b");
  a.join(world);
  b.epoch = 1;
  EXPECT_EQ(b.heartbeat(world), kUnknownMemberId);
  EXPECT_EQ(b.leave(world), kUnknownMemberId);
}

TEST_F(ConsumerHeartbeatTest, AGroupOfAnotherTypeIsNotFound) {
  world.join("");  // a classic member is in the group
  ConsumerClient a = client("a");
  a.epoch = 1;
  EXPECT_EQ(a.heartbeat(world), kGroupIdNotFound);
  EXPECT_EQ(a.last.error_message, "The group is not a consumer group.");
}

TEST_F(ConsumerHeartbeatTest, AnEmptyClassicGroupMakesWay) {
  world.commit("g", "t", 0, 42);
  ASSERT_EQ(world.list().at(0).type, "classic");
  ConsumerClient a = client("a");
  EXPECT_EQ(a.join(world), kNone);
  EXPECT_EQ(world.list().at(0).type, "consumer");
  EXPECT_EQ(world.fetch("g", "t", 0).offset, 42) << "its offsets stay";
  restart();
  EXPECT_EQ(world.list().at(0).type, "consumer");
  EXPECT_EQ(world.fetch("g", "t", 0).offset, 42);
}

TEST_F(ConsumerHeartbeatTest, AnEmptyConsumerGroupMakesWayForAClassicOne) {
  ConsumerClient a = client("a");
  a.join(world);
  a.leave(world);
  const auto joined = world.join("");
  world.advance(3'000);
  ASSERT_TRUE(joined.answered());
  EXPECT_EQ(joined->error, kNone);
  EXPECT_EQ(world.list().at(0).type, "classic");
  world.sync(joined->member_id, joined->generation, {{joined->member_id, "everything"}});
  restart();
  EXPECT_EQ(world.list().at(0).type, "classic");
  EXPECT_EQ(world.describe().members.size(), 1u);
}

TEST_F(ConsumerHeartbeatTest, EpochsThatCannotBeAreFenced) {
  ConsumerClient a = client("a"), b = client("b");
  a.join(world);
  b.join(world);
  settle({&a, &b});
  ASSERT_EQ(a.epoch, 2);
  a.epoch = 3;
  EXPECT_EQ(a.heartbeat(world), kFencedMemberEpoch) << "above";
  a.epoch = 1;
  a.owned.clear();
  EXPECT_EQ(a.full_heartbeat(world), kNone) << "the epoch before, with no more than it has";
  EXPECT_EQ(a.epoch, 2);
  a.epoch = 1;
  a.owned = partitions_of("t", {0, 1, 2, 3, 4, 5});
  EXPECT_EQ(a.full_heartbeat(world), kFencedMemberEpoch) << "it has what b has now";
  a.epoch = 1;
  ConsumerHeartbeatRequest silent = a.base();
  EXPECT_EQ(world.consumer_heartbeat(silent).error, kFencedMemberEpoch) << "it does not say what it has";
}

TEST_F(ConsumerHeartbeatTest, EpochZeroAlwaysJoinsAgain) {
  ConsumerClient a = client("a"), b = client("b");
  a.join(world);
  b.join(world);
  settle({&a, &b});
  const Assignment before = a.assigned;
  const int32_t epoch = group_epoch();
  EXPECT_EQ(a.join(world), kNone);
  EXPECT_EQ(a.assigned, before) << "it keeps what it has";
  EXPECT_EQ(group_epoch(), epoch) << "nothing changed for the group";
}

TEST_F(ConsumerHeartbeatTest, AFullRequestIsAnsweredInFull) {
  ConsumerClient a = client("a");
  a.join(world);
  const size_t records = world.log.size();
  EXPECT_EQ(a.full_heartbeat(world), kNone);
  EXPECT_EQ(a.last.assignment, partitions_of("t", {0, 1, 2, 3, 4, 5}));
  ConsumerHeartbeatRequest owned_only = a.base();
  owned_only.owned = a.owned;
  EXPECT_FALSE(world.consumer_heartbeat(owned_only).assignment) << "the owned list alone is no full request";
  EXPECT_EQ(world.log.size(), records);
}

TEST_F(ConsumerHeartbeatTest, UnknownAssignorsAreRefused) {
  ConsumerClient a = client("a");
  a.assignor = "sticky";
  EXPECT_EQ(a.join(world), kUnsupportedAssignor);
  EXPECT_EQ(a.last.error_message, "The broker has no assignor 'sticky'. It has: uniform, range.");
  EXPECT_TRUE(world.list().empty());
  a.assignor = "range";
  EXPECT_EQ(a.join(world), kNone);
  EXPECT_EQ(world.describe_consumer().assignor_name, "range");
}

TEST_F(ConsumerHeartbeatTest, AnotherEffectiveAssignorIsARebalance) {
  ConsumerClient a = client("a"), b = client("b");
  a.join(world);
  b.join(world);
  settle({&a, &b});
  const int32_t epoch = group_epoch();
  a.assignor = "range";
  EXPECT_EQ(a.full_heartbeat(world), kNone);
  EXPECT_EQ(group_epoch(), epoch + 1);
  b.assignor = "range";
  EXPECT_EQ(b.full_heartbeat(world), kNone);
  EXPECT_EQ(group_epoch(), epoch + 1) << "the same for the group";
}

TEST_F(ConsumerHeartbeatTest, ASubscriptionChangeIsARebalance) {
  ConsumerClient a = client("a");
  a.join(world);
  a.subscribe({"u", "t", "u"});
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_EQ(a.epoch, 2);
  EXPECT_EQ(a.count(), 9u);
  EXPECT_EQ(described("a").subscribed_topics, (std::vector<std::string>{"t", "u"}));
  a.slow = true;
  a.subscribe({"u"});
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_EQ(a.epoch, 2);
  EXPECT_EQ(a.assigned, partitions_of("u", {0, 1, 2}));
  a.revoke();
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_EQ(a.epoch, 3);
}

TEST_F(ConsumerHeartbeatTest, TheNextAssignmentWaitsForTheInterval) {
  GroupConfig config;
  ASSERT_EQ(config.consumer.assignment_interval_ms.value, 1'000);
  GroupWorld slow(config);
  slow.image = world.image;
  slow.restart();
  ConsumerClient a = client("a"), b = client("b");
  EXPECT_EQ(a.join(slow), kNone);
  EXPECT_EQ(a.epoch, 1) << "the first one is computed at once";
  slow.advance(999);
  EXPECT_EQ(b.join(slow), kNone);
  EXPECT_EQ(b.epoch, 1) << "the present target's";
  EXPECT_EQ(slow.describe_consumer().state, "Assigning");
  slow.advance(1);
  EXPECT_EQ(b.heartbeat(slow), kNone);
  EXPECT_EQ(b.epoch, 2);
  EXPECT_EQ(slow.describe_consumer().state, "Reconciling");
  a.leave(slow);
  b.leave(slow);
  EXPECT_EQ(slow.describe_consumer().state, "Empty");
  EXPECT_EQ(slow.describe_consumer().assignment_epoch, slow.describe_consumer().group_epoch);
  ConsumerClient c = client("c");
  EXPECT_EQ(c.join(slow), kNone);
  EXPECT_EQ(c.count(), 6u) << "a group without members need not wait";
}

TEST_F(ConsumerHeartbeatTest, AClockThatIsSetBackDelaysNoAssignment) {
  GroupWorld slow{GroupConfig()};
  slow.image = world.image;
  slow.restart();
  ConsumerClient a = client("a"), b = client("b");
  a.join(slow);
  slow.now.wall_ms -= 3'600'000;
  b.join(slow);
  EXPECT_EQ(b.epoch, 2);
}

TEST_F(ConsumerHeartbeatTest, AGroupsOwnConfigsHoldWithinBounds) {
  auto next = image_with({{"t", {6}}});
  next->group_configs[{"g", "consumer.heartbeat.interval.ms"}] = "7000";
  world.change_image(next, {}, {"g"});
  ConsumerClient a = client("a");
  a.join(world);
  EXPECT_EQ(a.last.heartbeat_interval_ms, 7'000);
  next = image_with({{"t", {6}}});
  next->group_configs[{"g", "consumer.heartbeat.interval.ms"}] = "60000";
  next->group_configs[{"g", "consumer.session.timeout.ms"}] = "50000";
  world.change_image(next, {}, {"g"});
  a.heartbeat(world);
  EXPECT_EQ(a.last.heartbeat_interval_ms, 15'000) << "group.consumer.max.heartbeat.interval.ms";
  world.advance(49'999);
  EXPECT_EQ(a.heartbeat(world), kNone);
  world.advance(50'000);
  EXPECT_EQ(a.heartbeat(world), kUnknownMemberId);
}

TEST_F(ConsumerHeartbeatTest, AFullGroupTakesNobodyElse) {
  GroupConfig config = at_once();
  config.consumer.max_size = 1;
  GroupWorld small(config);
  small.image = world.image;
  small.restart();
  ConsumerClient a = client("a"), b = client("b"), c = client("c");
  a.instance = "i";
  EXPECT_EQ(a.join(small), kNone);
  EXPECT_EQ(b.join(small), kGroupMaxSizeReached);
  EXPECT_EQ(a.heartbeat(small), kNone);
  EXPECT_EQ(a.join(small), kNone);
  c.instance = "i";
  EXPECT_EQ(c.join(small), kUnreleasedInstanceId);
  a.leave(small, true);
  EXPECT_EQ(c.join(small), kNone) << "a known instance passes";
}

TEST_F(ConsumerHeartbeatTest, MemoryShortageRefusesNewMembersRetriably) {
  ConsumerClient a = client("a"), b = client("b");
  a.join(world);
  world.memory.add(world.memory.limit_bytes());
  EXPECT_EQ(b.join(world), kCoordinatorNotAvailable);
  EXPECT_EQ(a.heartbeat(world), kNone) << "who is there goes on";
  a.subscribe({"t", "u"});
  EXPECT_EQ(a.heartbeat(world), kCoordinatorNotAvailable) << "it asks for more";
  world.memory.add(-world.memory.limit_bytes());
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_EQ(b.join(world), kNone);
}

TEST_F(ConsumerHeartbeatTest, AGroupHasABoundOfTopics) {
  ConsumerClient a = client("a"), b = client("b");
  for (size_t i = 1; i < ConsumerGroups::kTopicsMax; ++i) a.topics.push_back("t" + std::to_string(i));
  EXPECT_EQ(a.join(world), kNone);
  b.topics = {"t", "t1"};
  EXPECT_EQ(b.join(world), kNone) << "the group has these";
  b.subscribe({"v"});
  EXPECT_EQ(b.heartbeat(world), kInvalidRequest);
}

// --- static members -------------------------------------------------------------------------------------------------

TEST_F(ConsumerHeartbeatTest, AStaticMemberComesBackToItsPartitions) {
  ConsumerClient a = client("a"), b = client("b");
  a.instance = "i";
  a.join(world);
  b.join(world);
  settle({&a, &b});
  const Assignment before = a.assigned;
  const int32_t epoch = group_epoch();
  EXPECT_EQ(a.leave(world, true), kNone);
  EXPECT_EQ(a.last.member_epoch, -2);
  EXPECT_EQ(described("a").member_epoch, -2);
  EXPECT_EQ(group_epoch(), epoch);
  EXPECT_EQ(b.heartbeat(world), kNone);
  EXPECT_EQ(b.count(), 3u) << "b gets nothing of it";

  ConsumerClient again = client("a2");
  again.instance = "i";
  EXPECT_EQ(again.join(world), kNone);
  EXPECT_EQ(again.assigned, before);
  EXPECT_EQ(again.epoch, epoch);
  EXPECT_EQ(group_epoch(), epoch) << "no rebalance";
  EXPECT_EQ(state(), "Stable");
  EXPECT_EQ(world.describe_consumer().members.size(), 2u);
  a.epoch = epoch;
  EXPECT_EQ(a.heartbeat(world), kFencedInstanceId) << "the one before it";
}

TEST_F(ConsumerHeartbeatTest, AStaticMemberMayComeBackWithItsMemberId) {
  ConsumerClient a = client("a");
  a.instance = "i";
  a.join(world);
  a.leave(world, true);
  EXPECT_EQ(a.join(world), kNone);
  EXPECT_EQ(a.epoch, 1);
  EXPECT_EQ(a.count(), 6u);
}

TEST_F(ConsumerHeartbeatTest, AnInstanceThatIsInUseIsNotReleased) {
  ConsumerClient a = client("a"), b = client("b");
  a.instance = b.instance = "i";
  a.join(world);
  EXPECT_EQ(b.join(world), kUnreleasedInstanceId);
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_EQ(a.join(world), kNone) << "the member itself may join again, as any fenced member does";
  b.epoch = 1;
  EXPECT_EQ(b.heartbeat(world), kFencedInstanceId);
  EXPECT_EQ(b.leave(world), kFencedInstanceId);
  b.instance = "j";
  EXPECT_EQ(b.heartbeat(world), kUnknownMemberId);
}

TEST_F(ConsumerHeartbeatTest, TheInstanceIdFollowsItsMember) {
  ConsumerClient a = client("a");
  a.instance = "i";
  a.join(world);
  a.instance = "j";
  EXPECT_EQ(a.join(world), kNone);
  EXPECT_EQ(described("a").instance_id, "j");
  ConsumerClient b = client("b");
  b.instance = "i";
  EXPECT_EQ(b.join(world), kNone) << "nobody has it any more";
}

TEST_F(ConsumerHeartbeatTest, ATakeoverIsOneBatchAndSurvivesARestart) {
  ConsumerClient a = client("a"), again = client("b");
  a.instance = again.instance = "i";
  a.join(world);
  a.leave(world, true);
  const size_t before = world.log.size();
  again.topics = {"u"};
  EXPECT_EQ(again.join(world), kNone);
  EXPECT_FALSE(world.log[before].joined);
  for (size_t i = before + 1; i < world.log.size(); ++i) EXPECT_TRUE(world.log[i].joined);
  restart();
  ASSERT_EQ(world.describe_consumer().members.size(), 1u);
  EXPECT_EQ(described("b").instance_id, "i");
  settle({&again});
  EXPECT_EQ(again.assigned, partitions_of("u", {0, 1, 2}));
}

// --- metadata -------------------------------------------------------------------------------------------------------

TEST_F(ConsumerHeartbeatTest, ATopicThatGrowsIsARebalance) {
  ConsumerClient a = client("a");
  a.join(world);
  world.change_image(image_with({{"t", {8}}, {"u", {3}}}), {"t"});
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_EQ(a.epoch, 2);
  EXPECT_EQ(a.count(), 8u);
  world.change_image(image_with({{"t", {8}}, {"u", {4}}}), {"u"});
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_EQ(a.epoch, 2) << "nobody subscribes to it";
}

TEST_F(ConsumerHeartbeatTest, OtherRacksAreARebalance) {
  ConsumerClient a = client("a");
  a.join(world);
  world.change_image(image_with({{"t", {6, {"r1"}}}}), {"t"});
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_EQ(a.epoch, 2);
}

TEST_F(ConsumerHeartbeatTest, ADeletedTopicIsTakenAway) {
  ConsumerClient a = client("a");
  a.topics = {"t", "u"};
  a.join(world);
  world.change_image(image_with({{"u", {3}}}, {"t"}), {"t"});
  settle({&a});
  EXPECT_EQ(a.assigned, partitions_of("u", {0, 1, 2}));
  EXPECT_EQ(state(), "Stable");
}

TEST_F(ConsumerHeartbeatTest, ATopicMayComeLater) {
  world.change_image(image_with({}, {"t"}), {"t"});
  ConsumerClient a = client("a");
  EXPECT_EQ(a.join(world), kNone);
  EXPECT_EQ(a.epoch, 1);
  EXPECT_EQ(a.count(), 0u);
  world.change_image(image_with({{"t", {2}}}), {"t"});
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_EQ(a.count(), 2u);
}

TEST_F(ConsumerHeartbeatTest, TheMetadataRecordOfAnOlderBrokerIsRemoved) {
  ConsumerClient a = client("a");
  a.join(world);
  CoordinatorRecord old = encode(ConsumerPartitionMetadataEntry{"g", true});
  old.value = "of any content";
  world.log.push_back({old});
  restart();
  const size_t before = world.log.size();
  EXPECT_EQ(a.heartbeat(world), kNone);
  ASSERT_EQ(world.log.size(), before + 1);
  EXPECT_EQ(std::get<CoordinatorRecord>(world.log.back().what), (CoordinatorRecord{old.key, std::nullopt}));
  EXPECT_EQ(a.epoch, 1) << "no rebalance";
}

TEST_F(ConsumerHeartbeatTest, MetadataThatChangedDuringARestartAreNoticed) {
  ConsumerClient a = client("a");
  a.join(world);
  world.image = image_with({{"t", {7}}});
  restart();
  EXPECT_EQ(a.heartbeat(world), kNone);
  EXPECT_EQ(a.count(), 7u);
}

}  // namespace
}  // namespace weir::coordination
