// Groups of the consumer protocol (KIP-848) through a whole broker in simulation: what their requests are answered, in every
// version, and what other APIs of groups say of them.
#include <gmock/gmock.h>

#include <functional>
#include <map>
#include <set>

#include "broker/handlers/broker_fixture.h"
#include "broker/handlers/rights_fixture.h"
#include "broker/metadata/config_record.h"
#include "protocol/messages/consumer_group_describe.h"
#include "protocol/messages/consumer_group_heartbeat.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/delete_groups.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/describe_groups.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/list_groups.h"
#include "protocol/messages/offset_commit.h"
#include "protocol/messages/offset_delete.h"
#include "protocol/messages/offset_fetch.h"
#include "protocol/messages/update_features.h"

namespace weir::broker {
namespace {

using namespace protocol;
using protocol::ErrorCode;
using security::AclOperation;
using security::ResourceType;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Beat = ConsumerGroupHeartbeatRequest;
using Owned = std::map<TopicId, std::set<int32_t>>;

ErrorCode error(int16_t code) { return static_cast<ErrorCode>(code); }

// A client that does what the protocol asks of it.
struct Member {
  std::string id;
  std::vector<std::string_view> topics;
  int32_t epoch = 0;
  Owned owned = {};
  int32_t interval_ms = 0;
};

class ConsumerGroupsTest : public BrokerTest {
 protected:
  void SetUp() override {
    BrokerTest::SetUp();
    topic_ = create_topic("t", 4);
    create_topic("__consumer_offsets", 3);
    run_until([&] { return list(5, {}, {}).empty(); });
  }

  // A first request that nothing is wrong with.
  Beat join_request(std::string_view member = "m") {
    Beat request;
    request.group_id = "g";
    request.member_id = member;
    request.rebalance_timeout_ms = 60'000;
    request.subscribed_topic_names = std::span(names_);
    request.topic_partitions = std::span<Beat::TopicPartitions>();
    return request;
  }
  Answer<ConsumerGroupHeartbeatResponse> beat(int16_t version, const Beat& request) {
    return call<ConsumerGroupHeartbeatResponse>(version, request);
  }
  // One heartbeat of a client that has done what the answers before told it. With all fields when it joins.
  ErrorCode beat(Member& member, unsigned shard = 0) {
    Beat request = join_request(member.id);
    request.member_epoch = member.epoch;
    request.subscribed_topic_names = std::span(member.topics);
    std::vector<Beat::TopicPartitions> owned;
    std::vector<std::vector<int32_t>> partitions;
    for (const auto& [topic, indexes] : member.owned) {
      partitions.emplace_back(indexes.begin(), indexes.end());
      owned.push_back({topic, {}});
    }
    for (size_t i = 0; i < owned.size(); ++i) owned[i].partitions = partitions[i];
    request.topic_partitions = std::span(owned);
    const auto answer = call<ConsumerGroupHeartbeatResponse>(peer(shard), 1, request);
    if (answer->error_code != 0) return error(answer->error_code);
    EXPECT_EQ(answer->member_id, member.id);
    member.epoch = answer->member_epoch;
    member.interval_ms = answer->heartbeat_interval_ms;
    if (answer->assignment != nullptr) member.owned = owned_of(*answer->assignment);
    return ErrorCode::kNone;
  }
  static Owned owned_of(const ConsumerGroupHeartbeatResponse::Assignment& assignment) {
    Owned owned;
    for (const auto& topic : assignment.topic_partitions) {
      owned[topic.topic_id].insert(topic.partitions.begin(), topic.partitions.end());
    }
    return owned;
  }
  // Until all members have what they shall have.
  void settle(const std::vector<Member*>& members) {
    for (int round = 0; round < 20; ++round) {
      for (Member* member : members) ASSERT_EQ(beat(*member), ErrorCode::kNone);
      if (describe("g").state == "Stable") return;
      sim_.run_for(runtime::kSecond);
    }
    ADD_FAILURE() << "the group does not settle";
  }
  ErrorCode leave(Member& member, int32_t epoch = -1) {
    Beat request;
    request.group_id = "g";
    request.member_id = member.id;
    request.member_epoch = epoch;
    return error(beat(1, request)->error_code);
  }

  struct Described {
    ErrorCode error{};
    std::string message, state;
    size_t members = 0;
  };
  Answer<ConsumerGroupDescribeResponse> describe(int16_t version, std::vector<std::string_view> groups, bool operations = false) {
    ConsumerGroupDescribeRequest request;
    request.group_ids = groups;
    request.include_authorized_operations = operations;
    return call<ConsumerGroupDescribeResponse>(version, request);
  }
  Described describe(std::string_view group) {
    const auto answer = describe(1, {group});
    const auto& found = answer->groups[0];
    return {error(found.error_code), std::string(found.error_message.value_or("")), std::string(found.group_state),
            found.members.size()};
  }
  std::vector<std::string> list(int16_t version, std::vector<std::string_view> states, std::vector<std::string_view> types) {
    ListGroupsRequest request;
    request.states_filter = states;
    request.types_filter = types;
    const auto answer = call<ListGroupsResponse>(version, request);
    std::vector<std::string> groups;
    for (const auto& group : answer->groups) {
      groups.push_back(fmt::format("{} {} {} {}", group.group_id, group.protocol_type, group.group_state, group.group_type));
    }
    return groups;
  }
  ErrorCode commit(int16_t version, std::string_view member, int32_t epoch, int64_t offset = 1, int32_t index = 0) {
    OffsetCommitRequest::OffsetCommitRequestPartition partition;
    partition.partition_index = index;
    partition.committed_offset = offset;
    OffsetCommitRequest::OffsetCommitRequestTopic asked;
    asked.name = "t";
    asked.topic_id = topic_;
    asked.partitions = {&partition, 1};
    OffsetCommitRequest request;
    request.group_id = "g";
    request.member_id = member;
    request.generation_id_or_member_epoch = epoch;
    request.topics = {&asked, 1};
    return error(call<OffsetCommitResponse>(version, request)->topics[0].partitions[0].error_code);
  }
  // The offset, or a negative error.
  int64_t fetch(int16_t version, std::optional<std::string_view> member, int32_t epoch) {
    int32_t index = 0;
    OffsetFetchRequest::OffsetFetchRequestTopics topic;
    topic.name = "t";
    topic.topic_id = topic_;
    topic.partition_indexes = {&index, 1};
    OffsetFetchRequest::OffsetFetchRequestGroup group;
    group.group_id = "g";
    group.member_id = member;
    group.member_epoch = epoch;
    group.topics = std::span(&topic, 1);
    OffsetFetchRequest request;
    request.groups = {&group, 1};
    const auto answer = call<OffsetFetchResponse>(version, request);
    if (answer->groups[0].error_code != 0) return -answer->groups[0].error_code;
    return answer->groups[0].topics[0].partitions[0].committed_offset;
  }
  ErrorCode alter(ConfigResourceType type, std::string_view name, std::string_view key, std::string_view value) {
    IncrementalAlterConfigsRequest::AlterableConfig config;
    config.name = key;
    config.value = value;
    IncrementalAlterConfigsRequest::AlterConfigsResource resource;
    resource.resource_type = static_cast<int8_t>(type);
    resource.resource_name = name;
    resource.configs = {&config, 1};
    IncrementalAlterConfigsRequest request;
    request.resources = {&resource, 1};
    return error(call<IncrementalAlterConfigsResponse>(1, request)->responses[0].error_code);
  }
  ErrorCode set_level(int16_t level) {
    UpdateFeaturesRequest::FeatureUpdateKey update;
    update.feature = "group.version";
    update.max_version_level = level;
    update.upgrade_type = level == 0 ? 2 : 1;
    UpdateFeaturesRequest request;
    request.timeout_ms = 10'000;
    request.feature_updates = {&update, 1};
    return error(call<UpdateFeaturesResponse>(1, request)->error_code);
  }
  void delete_topic(std::string_view name) {
    DeleteTopicsRequest request;
    request.topic_names = {&name, 1};
    request.timeout_ms = 10'000;
    EXPECT_EQ(call<DeleteTopicsResponse>(5, request)->responses[0].error_code, 0);
  }

  TopicId topic_;
  std::vector<std::string_view> names_{"t"};
};

// --- what needs no group --------------------------------------------------------------------------------------------

TEST_F(ConsumerGroupsTest, ARequestThatCannotBeRightIsRefused) {
  std::vector<int32_t> zero{0};
  Beat::TopicPartitions owned{topic_, zero};
  struct Case {
    std::string message;
    std::function<void(Beat&)> change;
    int16_t first_version = 0;
  };
  const std::vector<Case> cases{
      {"MemberId can't be empty.", [](Beat& beat) { beat.member_id = ""; }, 1},
      {"MemberId can't be empty.", [](Beat& beat) { beat.member_id = " \t"; }, 1},
      {"MemberId can't be empty.", [](Beat& beat) { beat.member_id = "", beat.member_epoch = 1; }},
      {"MemberId can't be empty.", [](Beat& beat) { beat.member_id = "", beat.member_epoch = -1; }},
      {"GroupId can't be empty.", [](Beat& beat) { beat.group_id = ""; }},
      {"GroupId can't be empty.", [](Beat& beat) { beat.group_id = " "; }},
      {"InstanceId can't be empty.", [](Beat& beat) { beat.instance_id = ""; }},
      {"RackId can't be empty.", [](Beat& beat) { beat.rack_id = " "; }},
      {"RebalanceTimeoutMs must be provided in first request.", [](Beat& beat) { beat.rebalance_timeout_ms = -1; }},
      {"TopicPartitions must be empty when (re-)joining.", [](Beat& beat) { beat.topic_partitions = std::nullopt; }},
      {"TopicPartitions must be empty when (re-)joining.", [&](Beat& beat) { beat.topic_partitions = std::span(&owned, 1); }},
      {"Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
       [](Beat& beat) { beat.subscribed_topic_names = std::nullopt; }},
      {"InstanceId can't be null.", [](Beat& beat) { beat.member_epoch = -2; }},
      {"MemberEpoch is invalid.", [](Beat& beat) { beat.member_epoch = -3; }},
  };
  for (const Case& each : cases) {
    for (int16_t version = each.first_version; version <= 1; ++version) {
      SCOPED_TRACE(each.message + " " + std::to_string(version));
      Beat request = join_request();
      each.change(request);
      const auto answer = beat(version, request);
      EXPECT_EQ(error(answer->error_code), ErrorCode::kInvalidRequest);
      EXPECT_EQ(answer->error_message, each.message);
      EXPECT_EQ(answer->member_id, std::nullopt);
      EXPECT_EQ(answer->member_epoch, 0);
      EXPECT_EQ(answer->assignment, nullptr);
    }
  }
  EXPECT_THAT(list(5, {}, {}), IsEmpty());
}

TEST_F(ConsumerGroupsTest, AnAssignorThatIsNotOfferedIsRefused) {
  Beat request = join_request();
  request.server_assignor = "sticky";
  const auto answer = beat(1, request);
  EXPECT_EQ(error(answer->error_code), ErrorCode::kUnsupportedAssignor);
  EXPECT_EQ(answer->error_message, "ServerAssignor sticky is not supported. Supported assignors: uniform, range.");
  for (const std::string_view name : {"uniform", "range"}) {
    request.server_assignor = name;
    EXPECT_EQ(beat(1, request)->error_code, 0) << name;
  }
}

TEST_F(ConsumerGroupsTest, AnExpressionThatCannotBeCompiledIsRefused) {
  Beat request = join_request();
  request.subscribed_topic_regex = "t[";
  const auto answer = beat(1, request);
  EXPECT_EQ(error(answer->error_code), ErrorCode::kInvalidRegularExpression);
  EXPECT_NE(answer->error_message, std::nullopt);
  EXPECT_THAT(list(5, {}, {}), IsEmpty());
}

TEST_F(ConsumerGroupsTest, WithoutTheFeatureTheApisAreNotSupported) {
  Member member{"m", {"t"}};
  EXPECT_EQ(beat(member), ErrorCode::kNone);
  EXPECT_EQ(set_level(2), ErrorCode::kInvalidUpdateVersion);
  EXPECT_EQ(set_level(0), ErrorCode::kNone);
  for (int16_t version = 0; version <= 1; ++version) {
    EXPECT_EQ(error(beat(version, join_request())->error_code), ErrorCode::kUnsupportedVersion);
    const auto described = describe(version, {"g", "h"});
    ASSERT_EQ(described->groups.size(), 2u);
    for (const auto& group : described->groups) EXPECT_EQ(error(group.error_code), ErrorCode::kUnsupportedVersion);
  }
  EXPECT_EQ(set_level(1), ErrorCode::kNone);
  EXPECT_EQ(beat(member), ErrorCode::kNone);
}

class ClassicProtocolOnlyTest : public ConsumerGroupsTest {
  void SetUp() override {
    set("group.coordinator.rebalance.protocols", "classic");
    ConsumerGroupsTest::SetUp();
  }
};

TEST_F(ClassicProtocolOnlyTest, TheApisAreNotSupported) {
  EXPECT_EQ(error(beat(1, join_request())->error_code), ErrorCode::kUnsupportedVersion);
  EXPECT_EQ(describe("g").error, ErrorCode::kUnsupportedVersion);
}

TEST_F(ConsumerGroupsTest, TopicsThatAMemberNamesNeedTheRightToDescribeThem) {
  Grants grants{ResourceType::kTopic};
  dispatcher_->set_authorizer(&grants);
  Beat request = join_request();
  std::vector<std::string_view> names{"t", "absent"};
  request.subscribed_topic_names = std::span(names);
  grants.add(AclOperation::kDescribe, ResourceType::kTopic, "t");
  const auto denied = beat(1, request);
  EXPECT_EQ(error(denied->error_code), ErrorCode::kTopicAuthorizationFailed);
  EXPECT_EQ(denied->error_message, std::nullopt);
  request.rebalance_timeout_ms = -1;
  EXPECT_EQ(error(beat(1, request)->error_code), ErrorCode::kTopicAuthorizationFailed) << "rights come first";
  EXPECT_EQ(beat(1, join_request())->error_code, 0);
  grants.clear();
  Beat unchanged = join_request();
  unchanged.member_epoch = 1;
  unchanged.subscribed_topic_names = std::nullopt;
  unchanged.topic_partitions = std::nullopt;
  EXPECT_EQ(beat(1, unchanged)->error_code, 0);
}

// --- groups at work -------------------------------------------------------------------------------------------------

TEST_F(ConsumerGroupsTest, AMemberGetsThePartitionsOfTheTopicsItNames) {
  for (int16_t version = 0; version <= 1; ++version) {
    const std::string name = "m" + std::to_string(version);
    Beat request = join_request(name);
    const std::string group = "g" + std::to_string(version);
    request.group_id = group;
    const auto answer = beat(version, request);
    ASSERT_EQ(answer->error_code, 0);
    EXPECT_EQ(answer->member_id, name);
    EXPECT_EQ(answer->member_epoch, 1);
    EXPECT_EQ(answer->heartbeat_interval_ms, 5'000);
    ASSERT_NE(answer->assignment, nullptr);
    EXPECT_EQ(owned_of(*answer->assignment), (Owned{{topic_, {0, 1, 2, 3}}}));
  }
}

TEST_F(ConsumerGroupsTest, Version0LetsTheCoordinatorNameTheMember) {
  const auto answer = beat(0, join_request(""));
  ASSERT_EQ(answer->error_code, 0);
  ASSERT_NE(answer->member_id, std::nullopt);
  EXPECT_FALSE(answer->member_id->empty());
  EXPECT_EQ(describe("g").members, 1u);
}

TEST_F(ConsumerGroupsTest, MembersShareTopicsThatComeGrowAndGo) {
  Member first{"a", {"t", "u"}}, second{"b", {"t", "u"}};
  EXPECT_EQ(beat(first), ErrorCode::kNone);
  EXPECT_EQ(beat(second, 1), ErrorCode::kNone);
  settle({&first, &second});
  EXPECT_EQ(first.owned[topic_].size(), 2u);
  EXPECT_EQ(second.owned[topic_].size(), 2u);

  const TopicId added = create_topic("u", 2);
  settle({&first, &second});
  EXPECT_EQ(first.owned[added].size(), 1u);
  EXPECT_EQ(second.owned[added].size(), 1u);

  CreatePartitionsRequest::CreatePartitionsTopic grown;
  grown.name = "u";
  grown.count = 6;
  grown.assignments = std::nullopt;
  CreatePartitionsRequest request;
  request.topics = {&grown, 1};
  request.timeout_ms = 10'000;
  EXPECT_EQ(call<CreatePartitionsResponse>(3, request)->results[0].error_code, 0);
  settle({&first, &second});
  EXPECT_EQ(first.owned[added].size() + second.owned[added].size(), 6u);

  delete_topic("u");
  settle({&first, &second});
  EXPECT_FALSE(first.owned.contains(added));
  EXPECT_FALSE(second.owned.contains(added));

  EXPECT_EQ(leave(second), ErrorCode::kNone);
  settle({&first});
  EXPECT_EQ(first.owned, (Owned{{topic_, {0, 1, 2, 3}}}));
  EXPECT_EQ(beat(second), ErrorCode::kUnknownMemberId);
}

TEST_F(ConsumerGroupsTest, AnExpressionMatchesTopicsThatTheMemberMayDescribe) {
  create_topic("tea", 1);
  const TopicId hidden = create_topic("hidden-t", 1);
  Grants grants{ResourceType::kTopic};
  grants.add(AclOperation::kDescribe, ResourceType::kTopic, "t");
  dispatcher_->set_authorizer(&grants);
  const auto joined = [&] {
    Beat request = join_request();
    request.subscribed_topic_names = std::span<std::string_view>();
    request.subscribed_topic_regex = "t|hidden.*";
    return beat(1, request);
  };
  Owned owned;
  const auto look = [&] {
    const auto answer = joined();
    EXPECT_EQ(answer->error_code, 0);
    if (answer->assignment != nullptr) owned = owned_of(*answer->assignment);
    sim_.run_for(runtime::kSecond);
    return !owned.empty();
  };
  for (int i = 0; i < 30 && !look(); ++i) {
  }
  EXPECT_EQ(owned, (Owned{{topic_, {0, 1, 2, 3}}}));
  EXPECT_FALSE(owned.contains(hidden));
}

TEST_F(ConsumerGroupsTest, ARestartKeepsMembersAndWhatTheyHave) {
  Member first{"a", {"t"}}, second{"b", {"t"}};
  EXPECT_EQ(beat(first), ErrorCode::kNone);
  EXPECT_EQ(beat(second), ErrorCode::kNone);
  settle({&first, &second});
  for (const bool unclean : {false, true}) {
    const Owned before = first.owned;
    const int32_t epoch = first.epoch;
    restart(unclean);
    sim_.run_for(runtime::kSecond);
    EXPECT_EQ(beat(first), ErrorCode::kNone);
    EXPECT_EQ(first.owned, before);
    EXPECT_EQ(first.epoch, epoch);
    EXPECT_EQ(describe("g").state, "Stable");
  }
  EXPECT_EQ(beat(second), ErrorCode::kNone);
}

TEST_F(ConsumerGroupsTest, ASilentMemberIsRemoved) {
  Member first{"a", {"t"}}, second{"b", {"t"}};
  EXPECT_EQ(beat(first), ErrorCode::kNone);
  EXPECT_EQ(beat(second), ErrorCode::kNone);
  for (int i = 0; i < 12; ++i) {
    sim_.run_for(5 * runtime::kSecond);
    EXPECT_EQ(beat(first), ErrorCode::kNone);
  }
  EXPECT_EQ(first.owned, (Owned{{topic_, {0, 1, 2, 3}}}));
  EXPECT_EQ(beat(second), ErrorCode::kUnknownMemberId);
}

// --- configs --------------------------------------------------------------------------------------------------------

TEST_F(ConsumerGroupsTest, AGroupsConfigsActAtOnce) {
  Member member{"m", {"t"}};
  EXPECT_EQ(beat(member), ErrorCode::kNone);
  EXPECT_EQ(member.interval_ms, 5'000);
  constexpr auto kGroup = ConfigResourceType::kGroup;
  EXPECT_EQ(alter(kGroup, "g", "consumer.heartbeat.interval.ms", "7000"), ErrorCode::kNone);
  EXPECT_EQ(beat(member), ErrorCode::kNone);
  EXPECT_EQ(member.interval_ms, 7'000);
  EXPECT_EQ(alter(kGroup, "g", "consumer.heartbeat.interval.ms", "4999"), ErrorCode::kInvalidConfig)
      << "below the broker's bound";
  EXPECT_EQ(alter(kGroup, "g", "consumer.session.timeout.ms", "60000"), ErrorCode::kNone);
  EXPECT_EQ(beat(member), ErrorCode::kNone);
  sim_.run_for(55 * runtime::kSecond);
  EXPECT_EQ(beat(member), ErrorCode::kNone) << "its session is longer";
  sim_.run_for(65 * runtime::kSecond);
  EXPECT_EQ(beat(member), ErrorCode::kUnknownMemberId);
}

// Kafka alters it at run time, too.
TEST_F(ConsumerGroupsTest, TheAssignmentIntervalActsAtOnce) {
  EXPECT_EQ(alter(ConfigResourceType::kBroker, "", "group.consumer.assignment.interval.ms", "0"), ErrorCode::kNone);
  Member first{"a", {"t"}}, second{"b", {"t"}};
  EXPECT_EQ(beat(first), ErrorCode::kNone);
  EXPECT_EQ(beat(second), ErrorCode::kNone);
  EXPECT_EQ(beat(first), ErrorCode::kNone);
  EXPECT_EQ(first.owned[topic_].size(), 2u) << "it did not wait a second";
  EXPECT_EQ(alter(ConfigResourceType::kBroker, "", "group.consumer.assignment.interval.ms", "9000"), ErrorCode::kNone);
  EXPECT_EQ(leave(second), ErrorCode::kNone);
  EXPECT_EQ(beat(first), ErrorCode::kNone);
  EXPECT_EQ(first.owned[topic_].size(), 2u) << "not so soon";
}

// --- other APIs of groups -------------------------------------------------------------------------------------------

TEST_F(ConsumerGroupsTest, DescribeTellsMembersAndEpochs) {
  Beat request = join_request("a");
  request.instance_id = "i";
  request.rack_id = "r";
  request.server_assignor = "range";
  ASSERT_EQ(beat(1, request)->error_code, 0);
  for (int16_t version = 0; version <= 1; ++version) {
    const auto answer = describe(version, {"g", "absent", "g", ""}, true);
    ASSERT_EQ(answer->groups.size(), 3u) << "each once";
    const auto& group = answer->groups[0];
    EXPECT_EQ(group.error_code, 0);
    EXPECT_EQ(group.group_id, "g");
    EXPECT_EQ(group.group_state, "Stable");
    EXPECT_EQ(group.group_epoch, 1);
    EXPECT_EQ(group.assignment_epoch, 1);
    EXPECT_EQ(group.assignor_name, "range");
    EXPECT_EQ(group.authorized_operations, security::operations_of(ResourceType::kGroup));
    ASSERT_EQ(group.members.size(), 1u);
    const auto& member = group.members[0];
    EXPECT_EQ(member.member_id, "a");
    EXPECT_EQ(member.instance_id, "i");
    EXPECT_EQ(member.rack_id, "r");
    EXPECT_EQ(member.member_epoch, 1);
    EXPECT_EQ(member.client_id, "test");
    EXPECT_EQ(member.client_host, "/10.0.0.1");
    EXPECT_THAT(member.subscribed_topic_names, ElementsAre("t"));
    ASSERT_EQ(member.assignment.topic_partitions.size(), 1u);
    EXPECT_EQ(member.assignment.topic_partitions[0].topic_id, topic_);
    EXPECT_EQ(member.assignment.topic_partitions[0].topic_name, "t");
    EXPECT_THAT(member.assignment.topic_partitions[0].partitions, ElementsAre(0, 1, 2, 3));
    ASSERT_EQ(member.target_assignment.topic_partitions.size(), 1u);
    EXPECT_THAT(member.target_assignment.topic_partitions[0].partitions, ElementsAre(0, 1, 2, 3));
    EXPECT_EQ(member.member_type, version == 0 ? -1 : 1);
    EXPECT_EQ(error(answer->groups[1].error_code), ErrorCode::kGroupIdNotFound);
    EXPECT_EQ(answer->groups[1].error_message, "Group absent not found.");
    EXPECT_EQ(answer->groups[1].authorized_operations, INT32_MIN);
    EXPECT_EQ(error(answer->groups[2].error_code), ErrorCode::kInvalidGroupId);
  }
}

TEST_F(ConsumerGroupsTest, DescribeNeedsTheRightToAllTopicsOfTheGroup) {
  Member member{"m", {"t"}};
  EXPECT_EQ(beat(member), ErrorCode::kNone);
  Grants grants{ResourceType::kTopic};
  dispatcher_->set_authorizer(&grants);
  const Described denied = describe("g");
  EXPECT_EQ(denied.error, ErrorCode::kTopicAuthorizationFailed);
  EXPECT_EQ(denied.message, "The group has described topic(s) that the client is not authorized to describe.");
  EXPECT_EQ(denied.members, 0u);
  grants.add(AclOperation::kDescribe, ResourceType::kTopic, "t");
  EXPECT_EQ(describe("g").error, ErrorCode::kNone);
}

TEST_F(ConsumerGroupsTest, ListGroupsFiltersByTypeAndState) {
  Member member{"m", {"t"}};
  EXPECT_EQ(beat(member), ErrorCode::kNone);
  EXPECT_THAT(list(5, {}, {}), ElementsAre("g consumer Stable consumer"));
  EXPECT_THAT(list(5, {}, {"Consumer"}), ElementsAre("g consumer Stable consumer"));
  EXPECT_THAT(list(5, {}, {"classic", "share"}), IsEmpty());
  EXPECT_THAT(list(5, {"sTABLE"}, {"consumer"}), ElementsAre("g consumer Stable consumer"));
  EXPECT_THAT(list(5, {"empty", "reconciling"}, {}), IsEmpty());
  EXPECT_THAT(list(4, {}, {}), ElementsAre("g consumer Stable "));
  EXPECT_THAT(list(0, {}, {}), ElementsAre("g consumer  "));
  EXPECT_EQ(leave(member), ErrorCode::kNone);
  EXPECT_THAT(list(5, {"Empty"}, {}), ElementsAre("g consumer Empty consumer"));
}

TEST_F(ConsumerGroupsTest, DescribeGroupsDoesNotKnowThem) {
  Member member{"m", {"t"}};
  EXPECT_EQ(beat(member), ErrorCode::kNone);
  std::string_view name = "g";
  DescribeGroupsRequest request;
  request.groups = {&name, 1};
  for (int16_t version = 0; version <= 6; ++version) {
    const auto answer = call<DescribeGroupsResponse>(version, request);
    EXPECT_EQ(error(answer->groups[0].error_code), version < 6 ? ErrorCode::kNone : ErrorCode::kGroupIdNotFound);
    EXPECT_EQ(answer->groups[0].group_state, "Dead");
    if (version == 6) {
      EXPECT_EQ(answer->groups[0].error_message, "Group g is not a classic group.");
    }
    EXPECT_THAT(answer->groups[0].members, IsEmpty());
  }
}

TEST_F(ConsumerGroupsTest, OffsetsAreCommittedInTheMembersEpoch) {
  Member member{"m", {"t"}};
  EXPECT_EQ(beat(member), ErrorCode::kNone);
  EXPECT_EQ(commit(8, "m", member.epoch), ErrorCode::kUnsupportedVersion);
  for (int16_t version = 9; version <= 10; ++version) {
    EXPECT_EQ(commit(version, "m", member.epoch, version), ErrorCode::kNone);
    EXPECT_EQ(fetch(version, "m", member.epoch), version);
    EXPECT_EQ(fetch(version, std::nullopt, -1), version);
    EXPECT_EQ(commit(version, "m", member.epoch + 1), ErrorCode::kStaleMemberEpoch);
    EXPECT_EQ(fetch(version, "m", member.epoch + 1), -code(ErrorCode::kStaleMemberEpoch));
    EXPECT_EQ(commit(version, "other", member.epoch), ErrorCode::kUnknownMemberId);
    EXPECT_EQ(fetch(version, "other", member.epoch), -code(ErrorCode::kUnknownMemberId));
    EXPECT_EQ(commit(version, "", -1), ErrorCode::kUnknownMemberId) << "as a tool does, while the group has members";
  }
  EXPECT_EQ(fetch(8, std::nullopt, -1), 10);
  EXPECT_EQ(leave(member), ErrorCode::kNone);
  EXPECT_EQ(commit(9, "", -1, 77), ErrorCode::kNone);
  EXPECT_EQ(fetch(9, std::nullopt, -1), 77);
}

// A member that learns of its new epoch a moment later still commits what it owns.
TEST_F(ConsumerGroupsTest, APartitionIsCommittedInTheEpochInWhichItWasAssigned) {
  Member first{"a", {"t"}}, second{"b", {"t"}};
  EXPECT_EQ(beat(first), ErrorCode::kNone);
  const int32_t before = first.epoch;
  EXPECT_EQ(beat(second), ErrorCode::kNone);
  settle({&first, &second});
  ASSERT_GT(first.epoch, before);
  const int32_t kept = *first.owned[topic_].begin(), given = *second.owned[topic_].begin();
  EXPECT_EQ(commit(9, "a", before, 5, kept), ErrorCode::kNone);
  EXPECT_EQ(commit(9, "a", before, 5, given), ErrorCode::kStaleMemberEpoch);
  EXPECT_EQ(commit(9, "b", second.epoch - 1, 5, given), ErrorCode::kStaleMemberEpoch);
}

TEST_F(ConsumerGroupsTest, OffsetsOfSubscribedTopicsAreNotDeleted) {
  Member member{"m", {"t"}};
  EXPECT_EQ(beat(member), ErrorCode::kNone);
  EXPECT_EQ(commit(9, "m", member.epoch), ErrorCode::kNone);
  OffsetDeleteRequest::OffsetDeleteRequestPartition partition;
  OffsetDeleteRequest::OffsetDeleteRequestTopic topic;
  topic.name = "t";
  topic.partitions = {&partition, 1};
  OffsetDeleteRequest request;
  request.group_id = "g";
  request.topics = {&topic, 1};
  EXPECT_EQ(error(call<OffsetDeleteResponse>(0, request)->topics[0].partitions[0].error_code),
            ErrorCode::kGroupSubscribedToTopic);
  EXPECT_EQ(leave(member), ErrorCode::kNone);
  EXPECT_EQ(call<OffsetDeleteResponse>(0, request)->topics[0].partitions[0].error_code, 0);
  EXPECT_EQ(fetch(9, std::nullopt, -1), -1);
}

TEST_F(ConsumerGroupsTest, AGroupWithoutMembersIsDeleted) {
  Member member{"m", {"t"}};
  EXPECT_EQ(beat(member), ErrorCode::kNone);
  std::string_view name = "g";
  DeleteGroupsRequest request;
  request.groups_names = {&name, 1};
  EXPECT_EQ(error(call<DeleteGroupsResponse>(2, request)->results[0].error_code), ErrorCode::kNonEmptyGroup);
  EXPECT_EQ(leave(member), ErrorCode::kNone);
  EXPECT_EQ(call<DeleteGroupsResponse>(2, request)->results[0].error_code, 0);
  EXPECT_EQ(describe("g").error, ErrorCode::kGroupIdNotFound);
  restart(false);
  sim_.run_for(runtime::kSecond);
  EXPECT_EQ(describe("g").error, ErrorCode::kGroupIdNotFound);
}

// --- hostile clients ------------------------------------------------------------------------------------------------

TEST_F(ConsumerGroupsTest, WhatAMemberSaysItOwnsMayBeAnything) {
  Member member{"m", {"t"}};
  EXPECT_EQ(beat(member), ErrorCode::kNone);
  std::vector<int32_t> all, odd{3, 3, -1, INT32_MAX, 0, 3}, none;
  for (int32_t i = 0; i < 50'000; ++i) all.push_back(i % 1'000);
  std::vector<Beat::TopicPartitions> owned{{topic_, odd}, {topic_, none}, {Uuid{}, odd}, {topic_, odd}, {Uuid{{7}}, all}};
  for (uint8_t i = 0; i < 200; ++i) owned.push_back({Uuid{{i}}, odd});
  Beat request = join_request();
  request.member_epoch = member.epoch;
  request.topic_partitions = std::span(owned);
  for (int16_t version = 0; version <= 1; ++version) {
    const auto answer = beat(version, request);
    EXPECT_EQ(answer->error_code, 0);
    EXPECT_EQ(answer->member_epoch, member.epoch);
  }
  EXPECT_EQ(beat(member), ErrorCode::kNone);
  EXPECT_EQ(member.owned, (Owned{{topic_, {0, 1, 2, 3}}}));
}

TEST_F(ConsumerGroupsTest, AMemberMayNameThousandsOfTopics) {
  std::vector<std::string> many{"t", "t", ""};
  for (int i = 0; i < 20'000; ++i) many.push_back("absent" + std::to_string(i));
  std::vector<std::string_view> names(many.begin(), many.end());
  Member member{"m", names};
  EXPECT_EQ(beat(member), ErrorCode::kNone);
  EXPECT_EQ(member.owned, (Owned{{topic_, {0, 1, 2, 3}}}));
  const auto answer = describe(1, {"g"});
  EXPECT_EQ(answer->groups[0].members[0].subscribed_topic_names.size(), 20'002u);
  EXPECT_EQ(leave(member), ErrorCode::kNone);
  EXPECT_EQ(beat(member), ErrorCode::kUnknownMemberId);
}

}  // namespace
}  // namespace weir::broker
