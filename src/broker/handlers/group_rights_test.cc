// Answers about groups that a client has no right to: every API that names groups, in every version, with an authorizer.
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "broker/coordinators/group_coordinators.h"
#include "broker/handlers/broker_fixture.h"
#include "broker/handlers/rights_fixture.h"
#include "broker/metadata/config_record.h"
#include "protocol/messages/add_offsets_to_txn.h"
#include "protocol/messages/alter_configs.h"
#include "protocol/messages/consumer_group_describe.h"
#include "protocol/messages/consumer_group_heartbeat.h"
#include "protocol/messages/delete_groups.h"
#include "protocol/messages/describe_configs.h"
#include "protocol/messages/describe_groups.h"
#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/heartbeat.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/join_group.h"
#include "protocol/messages/leave_group.h"
#include "protocol/messages/list_groups.h"
#include "protocol/messages/offset_commit.h"
#include "protocol/messages/offset_delete.h"
#include "protocol/messages/offset_fetch.h"
#include "protocol/messages/sync_group.h"
#include "protocol/messages/txn_offset_commit.h"

namespace weir::broker {
namespace {

using namespace protocol;
using protocol::ErrorCode;
using security::AclOperation;
using security::ResourceType;

class GroupRightsTest : public BrokerTest {
 protected:
  // What a group's error is in an answer, of a request for this group alone.
  using Ask = std::function<ErrorCode(int16_t version, std::string_view group)>;
  struct Api {
    ApiKey key;
    AclOperation operation;  // on the group
    Ask ask;
  };

  void SetUp() override {
    set("group.initial.rebalance.delay.ms", "0");
    BrokerTest::SetUp();
    topic_ = create_topic("t", 1);
  }

  static ErrorCode error(int16_t code) { return static_cast<ErrorCode>(code); }

  // A client that may do everything has made the group: it has one member and one offset.
  void make_group() {
    create_topic("__consumer_offsets", 3);
    run_until([&] { return committed(8, "g") == ErrorCode::kNone; });
    member_ = call<JoinGroupResponse>(5, join_request("g"))->member_id;
    auto again = join_request("g");
    again.member_id = member_;
    EXPECT_EQ(call<JoinGroupResponse>(5, again)->generation_id, 1);
    EXPECT_EQ(synced(3, "g"), ErrorCode::kNone);
    dispatcher_->set_authorizer(&grants_);
  }
  void allow(AclOperation operation, std::string_view group) { grants_.add(operation, ResourceType::kGroup, group); }

  JoinGroupRequest join_request(std::string_view group) {
    protocol_.name = "range";
    JoinGroupRequest request;
    request.group_id = group;
    request.session_timeout_ms = request.rebalance_timeout_ms = 300'000;
    request.protocol_type = "sr";
    request.protocols = {&protocol_, 1};
    return request;
  }
  ErrorCode joined(int16_t version, std::string_view group) {
    auto request = join_request(group);
    request.member_id = member_;
    const auto answer = call<JoinGroupResponse>(version, request);
    if (error(answer->error_code) == ErrorCode::kGroupAuthorizationFailed) {
      EXPECT_EQ(answer->member_id, "");
      EXPECT_EQ(answer->generation_id, -1);
      EXPECT_EQ(answer->protocol_name.has_value(), version < 7);
    }
    return error(answer->error_code);
  }
  SyncGroupRequest sync_request(int16_t version, std::string_view group) {
    SyncGroupRequest request;
    request.group_id = group;
    request.generation_id = 1;
    request.member_id = member_;
    if (version >= 5) {
      request.protocol_type = "sr";
      request.protocol_name = "range";
    }
    return request;
  }
  ErrorCode synced(int16_t version, std::string_view group) {
    return error(call<SyncGroupResponse>(version, sync_request(version, group))->error_code);
  }
  ErrorCode beaten(int16_t version, std::string_view group) {
    HeartbeatRequest request;
    request.group_id = group;
    request.generation_id = 1;
    request.member_id = member_;
    return error(call<HeartbeatResponse>(version, request)->error_code);
  }
  ErrorCode left(int16_t version, std::string_view group) {
    LeaveGroupRequest::MemberIdentity member;
    member.member_id = member_;
    LeaveGroupRequest request;
    request.group_id = group;
    if (version < 3) request.member_id = member_;
    else request.members = {&member, 1};
    return error(call<LeaveGroupResponse>(version, request)->error_code);
  }
  Answer<OffsetCommitResponse> commit(int16_t version, std::string_view group, int64_t offset) {
    OffsetCommitRequest::OffsetCommitRequestPartition partition;
    partition.committed_offset = offset;
    partition.committed_metadata = "";
    OffsetCommitRequest::OffsetCommitRequestTopic asked[2];
    asked[0].name = "t";
    asked[0].topic_id = topic_;
    asked[1].name = "absent";
    asked[1].topic_id = Uuid::from_random(9, 9);
    for (auto& topic : asked) topic.partitions = {&partition, 1};
    OffsetCommitRequest request;
    request.group_id = group;
    request.topics = asked;
    return call<OffsetCommitResponse>(version, request);
  }
  ErrorCode committed(int16_t version, std::string_view group) {
    const auto answer = commit(version, group, grants_on() ? 99 : 5);
    if (error(answer->topics[0].partitions[0].error_code) == ErrorCode::kGroupAuthorizationFailed) {
      EXPECT_EQ(error(answer->topics[1].partitions[0].error_code), ErrorCode::kGroupAuthorizationFailed)
          << "not that it is absent";
    }
    return error(answer->topics[0].partitions[0].error_code);
  }
  ErrorCode offsets_added(int16_t version, std::string_view group) {
    AddOffsetsToTxnRequest request;
    request.transactional_id = "id";
    request.group_id = group;
    return error(call<AddOffsetsToTxnResponse>(version, request)->error_code);
  }
  ErrorCode committed_in_transaction(int16_t version, std::string_view group) {
    const TwoTopicsCommit commit("id", group, topic_);
    const auto answer = call<TxnOffsetCommitResponse>(version, commit.request);
    return TwoTopicsCommit::error_in(answer.message, ErrorCode::kGroupAuthorizationFailed);
  }
  Answer<OffsetFetchResponse> fetch(int16_t version, std::vector<std::string_view> groups) {
    int32_t partition = 0;
    OffsetFetchRequest::OffsetFetchRequestTopic topic;
    topic.name = "t";
    topic.partition_indexes = {&partition, 1};
    OffsetFetchRequest::OffsetFetchRequestTopics asked;
    asked.name = "t";
    asked.topic_id = topic_;
    asked.partition_indexes = {&partition, 1};
    std::vector<OffsetFetchRequest::OffsetFetchRequestGroup> of_groups(groups.size());
    OffsetFetchRequest request;
    if (version < 8) {
      request.group_id = groups[0];
      request.topics = std::span(&topic, 1);
    } else {
      for (size_t i = 0; i < groups.size(); ++i) {
        of_groups[i].group_id = groups[i];
        of_groups[i].topics = std::span(&asked, 1);
      }
      request.groups = of_groups;
    }
    return call<OffsetFetchResponse>(version, request);
  }
  ErrorCode fetched(int16_t version, std::string_view group) {
    const auto answer = fetch(version, {group});
    if (version == 1) {
      const auto& partition = answer->topics[0].partitions[0];
      if (partition.error_code != 0) {
        EXPECT_EQ(partition.committed_offset, -1);
      }
      return error(partition.error_code);
    }
    const ErrorCode found = error(version < 8 ? answer->error_code : answer->groups[0].error_code);
    if (found != ErrorCode::kNone) {
      EXPECT_TRUE(version < 8 ? answer->topics.empty() : answer->groups[0].topics.empty());
    }
    return found;
  }
  Answer<OffsetDeleteResponse> delete_offset(std::string_view group) {
    OffsetDeleteRequest::OffsetDeleteRequestPartition partition;
    OffsetDeleteRequest::OffsetDeleteRequestTopic asked;
    asked.name = "t";
    asked.partitions = {&partition, 1};
    OffsetDeleteRequest request;
    request.group_id = group;
    request.topics = {&asked, 1};
    return call<OffsetDeleteResponse>(0, request);
  }
  ErrorCode offset_deleted(int16_t, std::string_view group) { return error(delete_offset(group)->error_code); }
  Answer<DescribeGroupsResponse> describe(int16_t version, std::vector<std::string_view> groups) {
    DescribeGroupsRequest request;
    request.groups = groups;
    return call<DescribeGroupsResponse>(version, request);
  }
  ErrorCode described(int16_t version, std::string_view group) {
    const auto answer = describe(version, {group});
    if (answer->groups[0].error_code != 0) {
      EXPECT_EQ(answer->groups[0].group_state, answer->groups[0].error_code == code(ErrorCode::kGroupIdNotFound) ? "Dead" : "");
      EXPECT_TRUE(answer->groups[0].members.empty());
    }
    return error(answer->groups[0].error_code);
  }
  Answer<DeleteGroupsResponse> remove(int16_t version, std::vector<std::string_view> groups) {
    DeleteGroupsRequest request;
    request.groups_names = groups;
    return call<DeleteGroupsResponse>(version, request);
  }
  ErrorCode removed(int16_t version, std::string_view group) { return error(remove(version, {group})->results[0].error_code); }
  Answer<FindCoordinatorResponse> find(int16_t version, std::vector<std::string_view> keys, int8_t type = 0) {
    FindCoordinatorRequest request;
    request.key_type = type;
    if (version < 4) request.key = keys[0];
    else request.coordinator_keys = keys;
    return call<FindCoordinatorResponse>(version, request);
  }
  ErrorCode found(int16_t version, std::string_view group) {
    const auto answer = find(version, {group});
    return error(version < 4 ? answer->error_code : answer->coordinators[0].error_code);
  }
  ErrorCode consumer_beaten(int16_t version, std::string_view group) {
    ConsumerGroupHeartbeatRequest request;
    request.group_id = group;
    request.member_id = member_;
    request.member_epoch = 1;
    const auto answer = call<ConsumerGroupHeartbeatResponse>(version, request);
    if (error(answer->error_code) == ErrorCode::kGroupAuthorizationFailed) {
      EXPECT_EQ(answer->error_message, std::nullopt);
    }
    return error(answer->error_code);
  }
  ErrorCode consumer_described(int16_t version, std::string_view group) {
    ConsumerGroupDescribeRequest request;
    request.group_ids = {&group, 1};
    const auto answer = call<ConsumerGroupDescribeResponse>(version, request);
    EXPECT_EQ(answer->groups[0].group_state, "");
    return error(answer->groups[0].error_code);
  }
  std::vector<std::string> listed(int16_t version) {
    const auto answer = call<ListGroupsResponse>(version, ListGroupsRequest());
    EXPECT_EQ(answer->error_code, 0);
    std::vector<std::string> groups;
    for (const auto& group : answer->groups) groups.emplace_back(group.group_id);
    return groups;
  }
  template <typename Response, typename Request, typename Resource>
  ErrorCode configs_altered(int16_t version, std::string_view group) {
    Resource asked;
    asked.resource_type = static_cast<int8_t>(ConfigResourceType::kGroup);
    asked.resource_name = group;
    Request request;
    request.resources = {&asked, 1};
    return error(call<Response>(version, request)->responses[0].error_code);
  }
  ErrorCode configs_described(int16_t version, std::string_view group) {
    DescribeConfigsRequest::DescribeConfigsResource asked;
    asked.resource_type = static_cast<int8_t>(ConfigResourceType::kGroup);
    asked.resource_name = group;
    asked.configuration_keys = std::nullopt;
    DescribeConfigsRequest request;
    request.resources = {&asked, 1};
    return error(call<DescribeConfigsResponse>(version, request)->results[0].error_code);
  }

  // All whose row needs a right to groups, but ListGroups, which names none.
  std::vector<Api> apis() {
    using enum AclOperation;
    const auto of = [this](ErrorCode (GroupRightsTest::*ask)(int16_t, std::string_view)) -> Ask {
      return [this, ask](int16_t version, std::string_view group) { return (this->*ask)(version, group); };
    };
    using Alter = AlterConfigsRequest;
    using Incremental = IncrementalAlterConfigsRequest;
    return {
        {ApiKey::kJoinGroup, kRead, of(&GroupRightsTest::joined)},
        {ApiKey::kSyncGroup, kRead, of(&GroupRightsTest::synced)},
        {ApiKey::kHeartbeat, kRead, of(&GroupRightsTest::beaten)},
        {ApiKey::kLeaveGroup, kRead, of(&GroupRightsTest::left)},
        {ApiKey::kOffsetCommit, kRead, of(&GroupRightsTest::committed)},
        {ApiKey::kOffsetFetch, kDescribe, of(&GroupRightsTest::fetched)},
        {ApiKey::kOffsetDelete, kDelete, of(&GroupRightsTest::offset_deleted)},
        {ApiKey::kAddOffsetsToTxn, kRead, of(&GroupRightsTest::offsets_added)},
        {ApiKey::kTxnOffsetCommit, kRead, of(&GroupRightsTest::committed_in_transaction)},
        {ApiKey::kDescribeGroups, kDescribe, of(&GroupRightsTest::described)},
        {ApiKey::kConsumerGroupHeartbeat, kRead, of(&GroupRightsTest::consumer_beaten)},
        {ApiKey::kConsumerGroupDescribe, kDescribe, of(&GroupRightsTest::consumer_described)},
        {ApiKey::kDeleteGroups, kDelete, of(&GroupRightsTest::removed)},
        {ApiKey::kFindCoordinator, kDescribe, of(&GroupRightsTest::found)},
        {ApiKey::kDescribeConfigs, kDescribeConfigs, of(&GroupRightsTest::configs_described)},
        {ApiKey::kAlterConfigs, kAlterConfigs,
         of(&GroupRightsTest::configs_altered<AlterConfigsResponse, Alter, Alter::AlterConfigsResource>)},
        {ApiKey::kIncrementalAlterConfigs, kAlterConfigs,
         of(&GroupRightsTest::configs_altered<IncrementalAlterConfigsResponse, Incremental, Incremental::AlterConfigsResource>)},
    };
  }
  bool grants_on() const { return !member_.empty(); }

  Grants grants_{ResourceType::kGroup, ResourceType::kCluster};
  TopicId topic_;
  std::string member_;
  JoinGroupRequest::JoinGroupRequestProtocol protocol_;
};

TEST_F(GroupRightsTest, EveryApiIsTested) {
  std::set<ApiKey> tested{ApiKey::kListGroups};
  for (const Api& api : apis()) tested.insert(api.key);
  for (const ApiRoute* route : dispatcher_->routes()) {
    EXPECT_EQ(route->needs.group != AclOperation::kNone, tested.contains(route->key)) << api_name(route->key);
  }
}

// A group is denied whether it is there or not, and nothing becomes of it.
TEST_F(GroupRightsTest, AGroupIsDeniedBeforeItIsLookedFor) {
  make_group();
  for (const Api& api : apis()) {
    const ApiRoute& route = *dispatcher_->route(static_cast<int16_t>(api.key));
    for (int16_t version = route.min_version; version <= route.max_version; ++version) {
      SCOPED_TRACE(std::string(api_name(api.key)) + " " + std::to_string(version));
      EXPECT_EQ(api.ask(version, "g"), ErrorCode::kGroupAuthorizationFailed);
      EXPECT_EQ(api.ask(version, "absent"), ErrorCode::kGroupAuthorizationFailed);
      EXPECT_EQ(api.ask(version, ""), ErrorCode::kGroupAuthorizationFailed) << "not that it has no name";
    }
  }
  dispatcher_->set_authorizer(nullptr);
  EXPECT_EQ(listed(5), std::vector<std::string>{"g"});
  const auto group = describe(6, {"g"});
  EXPECT_EQ(group->groups[0].group_state, "Stable");
  EXPECT_EQ(group->groups[0].members.size(), 1u);
  EXPECT_EQ(beaten(4, "g"), ErrorCode::kNone);
  EXPECT_EQ(fetch(9, {"g"})->groups[0].topics[0].partitions[0].committed_offset, 5);
}

// With the right that the API needs the answer is the coordinator's.
TEST_F(GroupRightsTest, TheRightOfItsRowIsEnough) {
  make_group();
  for (const Api& api : apis()) {
    const ApiRoute& route = *dispatcher_->route(static_cast<int16_t>(api.key));
    grants_.clear();
    allow(api.operation, "other");
    for (int16_t version = route.min_version; version <= route.max_version; ++version) {
      SCOPED_TRACE(std::string(api_name(api.key)) + " " + std::to_string(version));
      EXPECT_NE(api.ask(version, "other"), ErrorCode::kGroupAuthorizationFailed);
      EXPECT_EQ(api.ask(version, "g"), ErrorCode::kGroupAuthorizationFailed);
    }
  }
}

TEST_F(GroupRightsTest, AnEmptyNameIsToldToAClientThatHasTheRight) {
  make_group();
  allow(AclOperation::kRead, "");
  allow(AclOperation::kDelete, "");
  EXPECT_EQ(joined(9, ""), ErrorCode::kInvalidGroupId);
  EXPECT_EQ(synced(5, ""), ErrorCode::kInvalidGroupId);
  EXPECT_EQ(beaten(4, ""), ErrorCode::kInvalidGroupId);
  EXPECT_EQ(left(5, ""), ErrorCode::kInvalidGroupId);
  EXPECT_EQ(offset_deleted(0, ""), ErrorCode::kInvalidGroupId);
}

TEST_F(GroupRightsTest, SyncGroupLooksAtItsProtocolFirst) {
  make_group();
  auto request = sync_request(5, "g");
  request.protocol_name = std::nullopt;
  EXPECT_EQ(error(call<SyncGroupResponse>(5, request)->error_code), ErrorCode::kInconsistentGroupProtocol);
}

TEST_F(GroupRightsTest, GroupsOfOneRequestAreDeniedOneByOne) {
  make_group();
  allow(AclOperation::kDescribe, "g");
  allow(AclOperation::kDelete, "absent");
  for (int16_t version = 8; version <= 10; ++version) {
    const auto offsets = fetch(version, {"absent", "g"});
    ASSERT_EQ(offsets->groups.size(), 2u);
    EXPECT_EQ(error(offsets->groups[0].error_code), ErrorCode::kGroupAuthorizationFailed);
    EXPECT_TRUE(offsets->groups[0].topics.empty());
    EXPECT_EQ(error(offsets->groups[1].error_code), ErrorCode::kNone);
    EXPECT_EQ(offsets->groups[1].topics[0].partitions[0].committed_offset, 5);
  }
  const auto groups = describe(6, {"absent", "g"});
  EXPECT_EQ(error(groups->groups[0].error_code), ErrorCode::kGroupAuthorizationFailed);
  EXPECT_EQ(groups->groups[1].group_state, "Stable");
  const auto removals = remove(2, {"g", "absent"});
  EXPECT_EQ(error(removals->results[0].error_code), ErrorCode::kGroupAuthorizationFailed);
  EXPECT_EQ(error(removals->results[1].error_code), ErrorCode::kGroupIdNotFound);
  for (int16_t version = 4; version <= 6; ++version) {
    const auto coordinators = find(version, {"absent", "g"});
    EXPECT_EQ(error(coordinators->coordinators[0].error_code), ErrorCode::kGroupAuthorizationFailed);
    EXPECT_EQ(coordinators->coordinators[0].node_id, -1);
    EXPECT_EQ(coordinators->coordinators[1].error_code, 0);
    EXPECT_NE(coordinators->coordinators[1].node_id, -1);
  }
}

TEST_F(GroupRightsTest, AllOffsetsOfAGroupNeedTheRightToIt) {
  make_group();
  OffsetFetchRequest::OffsetFetchRequestGroup asked;
  asked.group_id = "g";
  asked.topics = std::nullopt;
  OffsetFetchRequest request;
  request.groups = {&asked, 1};
  const auto denied = call<OffsetFetchResponse>(9, request);
  EXPECT_EQ(error(denied->groups[0].error_code), ErrorCode::kGroupAuthorizationFailed);
  EXPECT_TRUE(denied->groups[0].topics.empty());
  allow(AclOperation::kDescribe, "g");
  EXPECT_EQ(call<OffsetFetchResponse>(9, request)->groups[0].topics.size(), 1u);
}

TEST_F(GroupRightsTest, ListGroupsShowsThoseThatMayBeDescribed) {
  make_group();
  dispatcher_->set_authorizer(nullptr);
  EXPECT_EQ(committed(8, "h"), ErrorCode::kNone);
  dispatcher_->set_authorizer(&grants_);
  for (int16_t version = 0; version <= 5; ++version) {
    grants_.clear();
    EXPECT_TRUE(listed(version).empty());
    allow(AclOperation::kDescribe, "h");
    EXPECT_EQ(listed(version), std::vector<std::string>{"h"});
    grants_.add(AclOperation::kDescribe, ResourceType::kCluster, security::kClusterName);
    EXPECT_EQ(listed(version), (std::vector<std::string>{"g", "h"}));
  }
}

TEST_F(GroupRightsTest, ADeniedClientDoesNotCreateTheTopicOfOffsets) {
  dispatcher_->set_authorizer(&grants_);
  for (int16_t version = 0; version <= 6; ++version) EXPECT_EQ(found(version, "g"), ErrorCode::kGroupAuthorizationFailed);
  EXPECT_EQ(broker_->shard(0).image->find(GroupCoordinators::kTopic), nullptr);
  allow(AclOperation::kDescribe, "g");
  EXPECT_EQ(found(6, "g"), ErrorCode::kNone);
  EXPECT_NE(broker_->shard(0).image->find(GroupCoordinators::kTopic), nullptr);
}

TEST_F(GroupRightsTest, AShareCoordinatorNeedsTheRightToTheCluster) {
  dispatcher_->set_authorizer(&grants_);
  const std::string key = "g:" + topic_.to_string() + ":0";
  EXPECT_EQ(error(find(5, {key}, 2)->coordinators[0].error_code), ErrorCode::kInvalidRequest);
  EXPECT_EQ(error(find(6, {key}, 2)->coordinators[0].error_code), ErrorCode::kClusterAuthorizationFailed);
  EXPECT_EQ(error(find(6, {"wrong"}, 2)->coordinators[0].error_code), ErrorCode::kClusterAuthorizationFailed);
  grants_.add(AclOperation::kClusterAction, ResourceType::kCluster, security::kClusterName);
  EXPECT_EQ(error(find(6, {key}, 2)->coordinators[0].error_code), ErrorCode::kNone);
  EXPECT_EQ(error(find(6, {"wrong"}, 2)->coordinators[0].error_code), ErrorCode::kInvalidRequest);
}

}  // namespace
}  // namespace weir::broker
