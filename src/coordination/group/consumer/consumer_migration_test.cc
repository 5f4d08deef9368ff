// Groups whose members change from the classic protocol to that of consumer groups, and back, one after the other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "coordination/group/consumer/classic_protocol.h"
#include "coordination/group/consumer/consumer_client.h"

namespace weir::coordination {
namespace {

using enum ErrorCode;
using Migration = GroupConfig::Consumer::Migration;

GroupConfig at_once(Migration migration = Migration::kBidirectional) {
  GroupConfig config;
  config.initial_rebalance_delay_ms = 0;
  config.consumer.assignment_interval_ms.value = 0;
  config.consumer.migration = migration;
  return config;
}

constexpr int16_t kVersion = 3;

std::string subscription_of(const std::vector<std::string_view>& topics, const std::vector<int32_t>& owned) {
  std::vector<std::string_view> names = topics;
  std::vector<int32_t> partitions = owned;
  std::vector<protocol::ConsumerProtocolSubscription::TopicPartition> of;
  if (!owned.empty()) of.push_back({names.front(), partitions});
  protocol::ConsumerProtocolSubscription message;
  message.topics = names;
  message.owned_partitions = of;
  protocol::Writer writer;
  writer.i16(kVersion);
  message.encode(writer, kVersion);
  return std::string(as_string(writer.bytes()));
}

// A member of the classic protocol with the cooperative assignor: it gives up first what it shall not have.
struct ClassicClient {
  std::string id;
  std::optional<std::string> instance = {};
  int32_t generation = -1;
  std::vector<int32_t> owned = {};  // of topic t

  GroupWorld::JoinOptions options() const {
    GroupWorld::JoinOptions join;
    join.instance = instance;
    join.protocols = {{"cooperative-sticky", subscription_of({"t"}, owned)}, {"range", subscription_of({"t"}, owned)}};
    return join;
  }
  ErrorCode join(GroupWorld& world) {
    const auto joined = world.join(id, options());
    world.advance(0);
    if (!joined.answered()) return kUnknownServerError;
    if (joined->error == kNone) {
      id = joined->member_id;
      generation = joined->generation;
    }
    return joined->error;
  }
  ErrorCode sync(GroupWorld& world) {
    const auto synced = world.sync(id, generation, {}, instance);
    if (!synced.answered()) return kUnknownServerError;
    if (synced->error == kNone) take(synced->assignment, world);
    return synced->error;
  }
  void take(const std::string& assignment, const GroupWorld& world) {
    const auto parsed = parse_classic_assignment(assignment, *world.image);
    ASSERT_TRUE(parsed);
    owned = parsed->partitions.empty() ? std::vector<int32_t>() : parsed->partitions.front().partitions;
  }
  ErrorCode rejoin(GroupWorld& world) {
    const ErrorCode error = join(world);
    return error == kNone ? sync(world) : error;
  }
  // Does what an answer to its heartbeat asks for.
  ErrorCode heartbeat(GroupWorld& world) {
    const ErrorCode error = world.heartbeat(id, generation, instance);
    return error == kRebalanceInProgress ? rejoin(world) : error;
  }
};

class ConsumerMigrationTest : public ::testing::Test {
 protected:
  explicit ConsumerMigrationTest(GroupConfig config = at_once()) : world(config) {
    world.image = image_with({{"t", {4}}});
    world.restart();
  }

  // A stable classic group; the members share the partitions.
  std::vector<ClassicClient> classic_group(size_t count) {
    std::vector<ClassicClient> clients(count);
    std::vector<Pending<JoinResult>> joins;
    for (ClassicClient& one : clients) joins.push_back(world.join("", one.options()));
    world.advance(0);
    std::vector<SyncRequest::Assignment> assignments;
    for (size_t i = 0; i < count; ++i) {
      clients[i].id = joins[i]->member_id;
      clients[i].generation = joins[i]->generation;
      for (auto p = static_cast<int32_t>(i); p < 4; p += static_cast<int32_t>(count)) clients[i].owned.push_back(p);
      assignments.push_back({clients[i].id, encode_classic_assignment(partitions_of("t", clients[i].owned),
                                                                      subscription_of({"t"}, {}), *world.image)});
    }
    std::vector<Pending<SyncResult>> syncs;
    for (const ClassicClient& one : clients) {
      if (one.id != joins[0]->leader) syncs.push_back(world.sync(one.id, one.generation));
    }
    EXPECT_EQ(world.sync(joins[0]->leader, clients[0].generation, assignments)->error, kNone);
    EXPECT_EQ(world.group_state(), "Stable");
    return clients;
  }
  ConsumerClient client(std::string id) {
    ConsumerClient made;
    made.id = std::move(id);
    return made;
  }
  std::string consumer_state() { return std::string(world.describe_consumer().state); }
  // The entries since `from` are one batch.
  void expect_one_batch(size_t from) {
    ASSERT_GT(world.log.size(), from + 1);
    for (size_t i = from + 1; i < world.log.size(); ++i) EXPECT_TRUE(world.log[i].joined) << "entry " << i - from;
  }
  void expect_replay_gives_the_same() {
    const auto replayed = world.replayed();
    ASSERT_TRUE(replayed);
    EXPECT_EQ(replayed->snapshot(), world.state->snapshot());
  }

  GroupWorld world;
};

TEST_F(ConsumerMigrationTest, AConsumerUpgradesAClassicGroup) {
  auto old = classic_group(2);
  const size_t before = world.log.size();
  ConsumerClient fresh = client("new");
  ASSERT_EQ(fresh.join(world), kNone) << fresh.last.error_message.value_or("");
  expect_one_batch(before);
  expect_replay_gives_the_same();
  EXPECT_EQ(world.group_state(), "Dead") << "there is no classic group any more";
  EXPECT_EQ(consumer_state(), "Reconciling");
  EXPECT_EQ(fresh.epoch, old[0].generation + 1);
  EXPECT_TRUE(fresh.assigned.empty()) << "the others have all partitions";
  for (const auto& member : world.describe_consumer().members) EXPECT_EQ(member.type, member.member_id == "new" ? 1 : 0);

  for (int round = 0; round < 4; ++round) {
    for (ClassicClient& one : old) EXPECT_EQ(one.heartbeat(world), kNone);
    EXPECT_EQ(fresh.heartbeat(world), kNone);
  }
  EXPECT_EQ(consumer_state(), "Stable");
  EXPECT_EQ(fresh.count(), 1u);
  EXPECT_EQ(old[0].owned.size() + old[1].owned.size(), 3u);
  expect_replay_gives_the_same();
}

TEST_F(ConsumerMigrationTest, MembersThatWaitForTheRebalanceJoinTheConsumerGroup) {
  auto old = classic_group(2);
  const auto waiting = world.join(old[0].id, old[0].options());  // the leader: a rebalance begins
  EXPECT_FALSE(waiting.answered());
  ConsumerClient fresh = client("new");
  ASSERT_EQ(fresh.join(world), kNone);
  ASSERT_TRUE(waiting.answered());
  EXPECT_EQ(waiting->error, kRebalanceInProgress);
  EXPECT_EQ(old[0].rejoin(world), kNone);
  EXPECT_EQ(old[1].heartbeat(world), kNone);
}

TEST_F(ConsumerMigrationTest, OfTheFirstRebalanceTheMembersJoinToo) {
  const auto waiting = world.join("", ClassicClient().options());
  EXPECT_FALSE(waiting.answered());
  ConsumerClient fresh = client("new");
  ASSERT_EQ(fresh.join(world), kNone) << fresh.last.error_message.value_or("");
  ASSERT_TRUE(waiting.answered());
  EXPECT_EQ(waiting->error, kRebalanceInProgress);
  EXPECT_EQ(world.describe_consumer().members.size(), 2u);
  expect_replay_gives_the_same();
  world.advance(300'000);  // no deadline of the classic group is left
  EXPECT_TRUE(world.describe_consumer().members.empty());
}

TEST_F(ConsumerMigrationTest, WhatCannotBecomeAConsumerGroupStays) {
  GroupWorld::JoinOptions connect;
  connect.type = "connect";
  connect.group = "workers";
  const auto worker = world.join("", connect);
  world.advance(0);
  EXPECT_EQ(worker->error, kNone);
  ConsumerClient fresh = client("new");
  fresh.group = "workers";
  const size_t before = world.log.size() + 1;  // and that of the next group
  EXPECT_EQ(fresh.join(world), kGroupIdNotFound);
  EXPECT_THAT(*fresh.last.error_message, ::testing::HasSubstr("not consumers"));

  GroupWorld::JoinOptions garbage;
  garbage.group = "garbage";
  garbage.protocols = {{"range", "?"}};
  const auto joined = world.join("", garbage);
  world.advance(0);
  EXPECT_EQ(joined->error, kNone);
  fresh.group = "garbage";
  EXPECT_EQ(fresh.join(world), kGroupIdNotFound);
  EXPECT_THAT(*fresh.last.error_message, ::testing::HasSubstr("cannot be read"));
  EXPECT_EQ(world.log.size(), before);
  EXPECT_EQ(world.group_state("workers"), "CompletingRebalance");
}

// The assignor keeps its own data in it, which nobody could bring to its members any more.
TEST_F(ConsumerMigrationTest, UserDataOfAnAssignorIsNotLost) {
  ClassicClient one;
  ASSERT_EQ(one.join(world), kNone);
  const std::string data = "state";
  protocol::ConsumerProtocolAssignment message;
  message.user_data = as_bytes(data);
  protocol::Writer writer;
  writer.i16(0);
  message.encode(writer, 0);
  EXPECT_EQ(world.sync(one.id, one.generation, {{one.id, std::string(as_string(writer.bytes()))}})->error, kNone);
  ConsumerClient fresh = client("new");
  EXPECT_EQ(fresh.join(world), kGroupIdNotFound);
  EXPECT_EQ(world.group_state(), "Stable");
}

TEST_F(ConsumerMigrationTest, AClassicMemberJoinsAConsumerGroup) {
  ConsumerClient first = client("first");
  first.join(world);
  ClassicClient old;
  GroupWorld::JoinOptions unknown = old.options();
  unknown.ask_for_member_id = true;
  const auto asked = world.join("", unknown);
  EXPECT_EQ(asked->error, kMemberIdRequired);
  EXPECT_EQ(world.describe_consumer().members.size(), 1u);
  old.id = asked->member_id;
  ASSERT_EQ(old.join(world), kNone);
  EXPECT_EQ(old.generation, 2);
  EXPECT_EQ(old.sync(world), kNone);
  EXPECT_TRUE(old.owned.empty()) << "the other has all partitions";
  EXPECT_EQ(world.heartbeat(old.id, old.generation), kNone) << "nothing is free yet";
  EXPECT_EQ(first.heartbeat(world), kNone);
  EXPECT_EQ(first.heartbeat(world), kNone);
  EXPECT_EQ(first.count(), 2u);
  EXPECT_EQ(world.heartbeat(old.id, old.generation), kRebalanceInProgress) << "its partitions are free";
  EXPECT_EQ(old.rejoin(world), kNone);
  EXPECT_EQ(old.owned.size(), 2u);
  EXPECT_EQ(consumer_state(), "Stable");
  EXPECT_EQ(world.heartbeat(old.id, old.generation), kNone);

  EXPECT_EQ(world.heartbeat(old.id, old.generation + 1), kIllegalGeneration);
  EXPECT_EQ(world.heartbeat("nobody", old.generation), kUnknownMemberId);
  EXPECT_EQ(world.heartbeat("first", first.epoch), kUnknownMemberId) << "it has the other protocol";
  EXPECT_EQ(world.sync("first", first.epoch)->error, kUnknownMemberId);
  EXPECT_EQ(world.commit("g", "t", 0, 5, old.id, old.generation), kNone);
  EXPECT_EQ(world.commit("g", "t", 0, 5, old.id, old.generation + 1), kIllegalGeneration);
  expect_replay_gives_the_same();
}

TEST_F(ConsumerMigrationTest, ProtocolsMustHaveOneInCommon) {
  ConsumerClient first = client("first");
  first.join(world);
  ClassicClient old;
  ASSERT_EQ(old.join(world), kNone);
  GroupWorld::JoinOptions other;
  other.protocols = {{"sticky", subscription_of({"t"}, {})}};
  EXPECT_EQ(world.join("", other)->error, kInconsistentGroupProtocol);
  other.protocols = {{"sticky", subscription_of({"t"}, {})}, {"range", subscription_of({"t"}, {})}};
  EXPECT_EQ(world.join("", other)->error, kNone);
  other.type = "connect";
  EXPECT_EQ(world.join("", other)->error, kInconsistentGroupProtocol);
  other = {};
  other.protocols = {{"range", "?"}};
  EXPECT_EQ(world.join("", other)->error, kInconsistentGroupProtocol);
  other.protocols = {};
  EXPECT_EQ(world.join("", other)->error, kInconsistentGroupProtocol);
  other = {};
  other.session_ms = 1;
  EXPECT_EQ(world.join("", other)->error, kInvalidSessionTimeout);
}

TEST_F(ConsumerMigrationTest, AClassicMemberThatIsSilentIsRemoved) {
  ConsumerClient first = client("first");
  first.join(world);
  ClassicClient old;
  ASSERT_EQ(old.join(world), kNone);
  world.advance(10'000);  // its own session timeout; the group's is longer
  EXPECT_EQ(world.describe_consumer().members.size(), 1u);
  EXPECT_EQ(world.heartbeat(old.id, old.generation), kUnknownMemberId);
}

TEST_F(ConsumerMigrationTest, AClassicMemberThatDoesNotSyncIsRemoved) {
  ConsumerClient first = client("first");
  first.join(world);
  ClassicClient old;
  ASSERT_EQ(old.join(world), kNone);
  for (int i = 0; i < 6; ++i) {  // until the rebalance timeout
    EXPECT_EQ(world.describe_consumer().members.size(), 2u) << i;
    (void)world.heartbeat(old.id, old.generation);
    EXPECT_EQ(first.heartbeat(world), kNone);
    world.advance(5'000);
  }
  EXPECT_EQ(world.describe_consumer().members.size(), 1u);
}

TEST_F(ConsumerMigrationTest, AClassicMemberThatDoesNotJoinAgainIsRemoved) {
  ConsumerClient first = client("first");
  first.join(world);
  ClassicClient old;
  ASSERT_EQ(old.rejoin(world), kNone);
  ConsumerClient third = client("third");
  third.join(world);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(world.describe_consumer().members.size(), 3u) << i;
    EXPECT_EQ(world.heartbeat(old.id, old.generation), kRebalanceInProgress);
    EXPECT_EQ(first.heartbeat(world), kNone);
    EXPECT_EQ(third.heartbeat(world), kNone);
    world.advance(5'000);
  }
  EXPECT_EQ(world.describe_consumer().members.size(), 2u);
}

// Of its earlier protocol: it owes no sync any more.
TEST_F(ConsumerMigrationTest, AMemberChangesItsProtocolAndKeepsItsId) {
  ConsumerClient first = client("first");
  first.join(world);
  ClassicClient old;
  ASSERT_EQ(old.join(world), kNone);
  ConsumerClient again = client(old.id);
  ASSERT_EQ(again.join(world), kNone);
  for (int i = 0; i < 8; ++i) {
    world.advance(5'000);
    EXPECT_EQ(first.heartbeat(world), kNone);
    EXPECT_EQ(again.heartbeat(world), kNone);
  }
  EXPECT_EQ(world.describe_consumer().members.size(), 2u);
}

// The expressions are looked at with the rights of the client that asks, here as in a heartbeat.
TEST_F(ConsumerMigrationTest, AJoinShowsNoTopicsThatItsClientMayNotKnow) {
  world.image = image_with({{"t", {4}}}, {"secret"});
  world.restart();
  ConsumerClient first = client("first");
  first.subscribe({}, ".*");
  first.join(world);
  world.do_jobs();
  EXPECT_EQ(first.heartbeat(world), kNone);
  EXPECT_EQ(first.count(), 4u);
  world.advance(20'000);
  world.change_image(image_with({{"t", {4}}, {"secret", {1}}}), {"secret"});
  ClassicClient old;
  GroupWorld::JoinOptions options = old.options();
  options.may_describe =
      std::make_shared<const std::function<bool(std::string_view)>>([](std::string_view topic) { return topic != "secret"; });
  EXPECT_EQ(world.join("", options)->error, kNone);
  EXPECT_EQ(world.jobs.size(), 1u) << "a topic is new";
  world.do_jobs();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(first.heartbeat(world), kNone);
  EXPECT_FALSE(ConsumerClient::has(first.assigned, TestImage::id_of("secret"), 0));
}

TEST_F(ConsumerMigrationTest, WithTheLastConsumerTheGroupIsClassicAgain) {
  auto old = classic_group(2);
  ConsumerClient fresh = client("new");
  fresh.join(world);
  for (int round = 0; round < 4; ++round) {
    for (ClassicClient& one : old) one.heartbeat(world);
    fresh.heartbeat(world);
  }
  EXPECT_EQ(consumer_state(), "Stable");
  const int32_t epoch = fresh.epoch;
  const size_t before = world.log.size();
  EXPECT_EQ(fresh.leave(world), kNone);
  expect_one_batch(before);
  EXPECT_EQ(world.group_state(), "PreparingRebalance");
  EXPECT_EQ(world.describe().members.size(), 2u);
  EXPECT_EQ(world.describe_consumer().error, kGroupIdNotFound);
  EXPECT_EQ(world.heartbeat(old[0].id, old[0].generation), kRebalanceInProgress);
  const auto first = world.join(old[0].id, old[0].options());
  const auto second = world.join(old[1].id, old[1].options());
  ASSERT_TRUE(first.answered() && second.answered());
  EXPECT_EQ(first->generation, epoch + 1);
  EXPECT_EQ(first->protocol_name, "cooperative-sticky") << "all protocols of the members are known";
}

TEST_F(ConsumerMigrationTest, AStaticMemberChangesItsProtocol) {
  ConsumerClient fresh = client("new");
  fresh.instance = "i";
  fresh.join(world);
  EXPECT_EQ(fresh.count(), 4u);

  ClassicClient old;
  old.instance = "i";
  const size_t before = world.log.size();
  ASSERT_EQ(old.join(world), kNone);
  expect_one_batch(before);
  EXPECT_EQ(world.group_state(), "Stable") << "it has its predecessor's assignment: no rebalance";
  EXPECT_EQ(old.sync(world), kNone);
  EXPECT_EQ(old.owned.size(), 4u);
  EXPECT_EQ(fresh.heartbeat(world), kGroupIdNotFound);
  expect_replay_gives_the_same();

  ConsumerClient again = client("again");
  again.instance = "i";
  ASSERT_EQ(again.join(world), kNone) << again.last.error_message.value_or("");
  EXPECT_EQ(again.count(), 4u);
  EXPECT_EQ(world.describe_consumer().members.size(), 1u);
  EXPECT_EQ(world.heartbeat(old.id, old.generation, "i"), kFencedInstanceId);
  expect_replay_gives_the_same();
}

class OneWayMigrationTest : public ConsumerMigrationTest, public ::testing::WithParamInterface<Migration> {
 protected:
  OneWayMigrationTest() : ConsumerMigrationTest(at_once(GetParam())) {}
};

TEST_P(OneWayMigrationTest, ThePolicyDecides) {
  const bool upgrades = GetParam() == Migration::kUpgrade || GetParam() == Migration::kBidirectional;
  const bool downgrades = GetParam() == Migration::kDowngrade || GetParam() == Migration::kBidirectional;
  auto old = classic_group(1);
  ConsumerClient fresh = client("new");
  EXPECT_EQ(fresh.join(world), upgrades ? kNone : kGroupIdNotFound);
  if (!upgrades) {
    EXPECT_EQ(world.heartbeat(old[0].id, old[0].generation), kNone);
    EXPECT_EQ(world.leave(old[0].id), kNone);
    EXPECT_EQ(fresh.join(world), kNone) << "an empty group is replaced in any case";
    ClassicClient other;
    EXPECT_EQ(other.join(world), GetParam() == Migration::kDisabled ? kInconsistentGroupProtocol : kNone);
    if (GetParam() == Migration::kDisabled) return;
  }
  EXPECT_EQ(fresh.leave(world), kNone);
  EXPECT_EQ(world.describe_consumer().error, downgrades ? kGroupIdNotFound : kNone);
}

INSTANTIATE_TEST_SUITE_P(All, OneWayMigrationTest,
                         ::testing::Values(Migration::kDisabled, Migration::kUpgrade, Migration::kDowngrade,
                                           Migration::kBidirectional));

}  // namespace
}  // namespace weir::coordination
