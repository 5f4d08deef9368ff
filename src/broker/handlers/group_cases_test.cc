// The answers of the group APIs, version by version. Each case is a request, its versions, and the expected error.
#include <gmock/gmock.h>

#include <functional>

#include "broker/handlers/broker_fixture.h"
#include "protocol/errors.h"
#include "protocol/messages/delete_groups.h"
#include "protocol/messages/describe_groups.h"
#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/heartbeat.h"
#include "protocol/messages/join_group.h"
#include "protocol/messages/leave_group.h"
#include "protocol/messages/list_groups.h"
#include "protocol/messages/offset_commit.h"
#include "protocol/messages/offset_delete.h"
#include "protocol/messages/offset_fetch.h"
#include "protocol/messages/sync_group.h"

namespace weir::broker {
namespace {

using namespace protocol;
using protocol::ErrorCode;

class GroupCasesTest : public BrokerTest {
 protected:
  struct Versions {
    int16_t first;
    int16_t last;
  };

  void SetUp() override {
    set("group.initial.rebalance.delay.ms", "0");
    BrokerTest::SetUp();
    topic_ = create_topic("t", 2);
    FindCoordinatorRequest request;
    request.key = "g";
    EXPECT_EQ(call<FindCoordinatorResponse>(3, request)->error_code, 0);
  }

  // Sends `request` in each version and compares what `error` takes from the answer.
  template <typename Response, typename Request, typename Error>
  void expect(const char* what, Versions versions, const Request& request, Error error, ErrorCode expected) {
    for (int16_t version = versions.first; version <= versions.last; ++version) {
      const auto answer = call<Response>(version, request);
      EXPECT_EQ(error(answer.message), code(expected)) << what << ", version " << version;
    }
  }

  static constexpr auto kOwn = [](const auto& answer) { return answer.error_code; };

  JoinGroupRequest join(std::string_view group, std::string_view member = "") {
    protocols_[0].name = "range";
    protocols_[0].metadata = as_bytes("m");
    JoinGroupRequest request;
    request.group_id = group;
    request.member_id = member;
    request.session_timeout_ms = 10'000;
    request.rebalance_timeout_ms = 10'000;
    request.protocol_type = "sr";
    request.protocols = protocols_;
    return request;
  }
  // Makes a group of one member with its assignment, in generation 1. Returns the id of the member.
  std::string stable_group(std::string_view group) {
    const std::string id(call<JoinGroupResponse>(5, join(group))->member_id);
    EXPECT_EQ(call<JoinGroupResponse>(5, join(group, id))->generation_id, 1);
    SyncGroupRequest::SyncGroupRequestAssignment assignment{id, as_bytes("a")};
    SyncGroupRequest request;
    request.group_id = group;
    request.generation_id = 1;
    request.member_id = id;
    request.assignments = {&assignment, 1};
    EXPECT_EQ(as_string(call<SyncGroupResponse>(3, request)->assignment), "a");
    return id;
  }
  OffsetCommitRequest commit(std::string_view group, std::string_view topic = "t", int32_t partition = 0,
                             std::string_view metadata = "note") {
    commit_item_.partition_index = partition;
    commit_item_.committed_offset = 5;
    commit_item_.committed_metadata = metadata;
    commit_topic_.name = topic;
    commit_topic_.topic_id = topic == "t" ? topic_ : TopicId{{9}};
    commit_topic_.partitions = {&commit_item_, 1};
    OffsetCommitRequest request;
    request.group_id = group;
    request.topics = {&commit_topic_, 1};
    return request;
  }

  TopicId topic_;
  JoinGroupRequest::JoinGroupRequestProtocol protocols_[1];
  OffsetCommitRequest::OffsetCommitRequestPartition commit_item_;
  OffsetCommitRequest::OffsetCommitRequestTopic commit_topic_;
};

TEST_F(GroupCasesTest, JoinGroup) {
  expect<JoinGroupResponse>("no group id", {0, 9}, join(""), kOwn, ErrorCode::kInvalidGroupId);
  expect<JoinGroupResponse>("an unknown member", {0, 9}, join("new", "nobody"), kOwn, ErrorCode::kUnknownMemberId);
  expect<JoinGroupResponse>("an id is needed", {4, 9}, join("new"), kOwn, ErrorCode::kMemberIdRequired);
  auto request = join("new");
  request.session_timeout_ms = 1'000;
  expect<JoinGroupResponse>("a short session", {0, 9}, request, kOwn, ErrorCode::kInvalidSessionTimeout);
  request = join("new");
  request.protocols = {};
  expect<JoinGroupResponse>("no protocols", {0, 9}, request, kOwn, ErrorCode::kInconsistentGroupProtocol);
  request = join("new");
  request.protocol_type = "";
  expect<JoinGroupResponse>("no protocol type", {0, 9}, request, kOwn, ErrorCode::kInconsistentGroupProtocol);
  stable_group("g");
  request = join("g");
  request.protocol_type = "connect";
  expect<JoinGroupResponse>("another protocol type", {0, 9}, request, kOwn, ErrorCode::kInconsistentGroupProtocol);
}

TEST_F(GroupCasesTest, SyncGroupHeartbeatLeaveGroup) {
  const std::string member = stable_group("g");
  const auto sync = [&](std::string_view group, std::string_view id, int32_t generation) {
    SyncGroupRequest request;
    request.group_id = group;
    request.member_id = id;
    request.generation_id = generation;
    request.protocol_type = "sr";
    request.protocol_name = "range";
    return request;
  };
  // Versions before 5 do not have the protocol.
  const auto without_protocol = [](SyncGroupRequest request) {
    request.protocol_type = request.protocol_name = std::nullopt;
    return request;
  };
  expect<SyncGroupResponse>("no protocol", {5, 5}, without_protocol(sync("g", member, 1)), kOwn,
                            ErrorCode::kInconsistentGroupProtocol);
  for (const auto& [what, request, error] : std::initializer_list<std::tuple<const char*, SyncGroupRequest, ErrorCode>>{
           {"no group id", sync("", member, 1), ErrorCode::kInvalidGroupId},
           {"an unknown group", sync("new", member, 1), ErrorCode::kUnknownMemberId},
           {"an unknown member", sync("g", "nobody", 1), ErrorCode::kUnknownMemberId},
           {"another generation", sync("g", member, 7), ErrorCode::kIllegalGeneration},
           {"once more", sync("g", member, 1), ErrorCode::kNone}}) {
    expect<SyncGroupResponse>(what, {0, 4}, without_protocol(request), kOwn, error);
    expect<SyncGroupResponse>(what, {5, 5}, request, kOwn, error);
  }
  auto typed = sync("g", member, 1);
  typed.protocol_type = "connect";
  expect<SyncGroupResponse>("another protocol type", {5, 5}, typed, kOwn, ErrorCode::kInconsistentGroupProtocol);

  const auto beat = [&](std::string_view group, std::string_view id, int32_t generation) {
    HeartbeatRequest request;
    request.group_id = group;
    request.member_id = id;
    request.generation_id = generation;
    return request;
  };
  expect<HeartbeatResponse>("no group id", {0, 4}, beat("", member, 1), kOwn, ErrorCode::kInvalidGroupId);
  expect<HeartbeatResponse>("an unknown group", {0, 4}, beat("new", member, 1), kOwn, ErrorCode::kUnknownMemberId);
  expect<HeartbeatResponse>("an unknown member", {0, 4}, beat("g", "nobody", 1), kOwn, ErrorCode::kUnknownMemberId);
  expect<HeartbeatResponse>("another generation", {0, 4}, beat("g", member, 7), kOwn, ErrorCode::kIllegalGeneration);
  expect<HeartbeatResponse>("a living member", {0, 4}, beat("g", member, 1), kOwn, ErrorCode::kNone);
  auto fenced = beat("g", member, 1);
  fenced.group_instance_id = "another";
  expect<HeartbeatResponse>("an unknown instance", {3, 4}, fenced, kOwn, ErrorCode::kUnknownMemberId);

  LeaveGroupRequest leave;
  leave.member_id = member;
  expect<LeaveGroupResponse>("no group id", {0, 2}, leave, kOwn, ErrorCode::kInvalidGroupId);
  leave.group_id = "g";
  leave.member_id = "nobody";
  expect<LeaveGroupResponse>("an unknown member", {0, 2}, leave, kOwn, ErrorCode::kUnknownMemberId);
  leave.member_id = "";
  LeaveGroupRequest::MemberIdentity identity;
  identity.member_id = "nobody";
  leave.members = {&identity, 1};
  const auto of_member = [](const LeaveGroupResponse& answer) { return answer.members[0].error_code; };
  expect<LeaveGroupResponse>("an unknown member", {3, 5}, leave, of_member, ErrorCode::kUnknownMemberId);
  identity.member_id = member;
  expect<LeaveGroupResponse>("the member", {5, 5}, leave, of_member, ErrorCode::kNone);
  expect<LeaveGroupResponse>("twice", {3, 5}, leave, of_member, ErrorCode::kUnknownMemberId);
}

TEST_F(GroupCasesTest, OffsetCommitAndFetch) {
  const auto of_item = [](const auto& answer) { return answer.topics[0].partitions[0].error_code; };
  expect<OffsetCommitResponse>("no member", {2, 10}, commit("g"), of_item, ErrorCode::kNone);
  expect<OffsetCommitResponse>("an unknown topic", {2, 9}, commit("g", "missing"), of_item, ErrorCode::kUnknownTopicOrPartition);
  expect<OffsetCommitResponse>("an unknown topic id", {10, 10}, commit("g", "missing"), of_item, ErrorCode::kUnknownTopicId);
  expect<OffsetCommitResponse>("an unknown partition", {2, 10}, commit("g", "t", 2), of_item,
                               ErrorCode::kUnknownTopicOrPartition);
  const std::string text(5'000, 'm');
  expect<OffsetCommitResponse>("long metadata", {2, 10}, commit("g", "t", 0, text), of_item, ErrorCode::kOffsetMetadataTooLarge);
  const std::string member = stable_group("busy");
  expect<OffsetCommitResponse>("a stranger", {2, 10}, commit("busy"), of_item, ErrorCode::kUnknownMemberId);
  auto request = commit("busy");
  request.member_id = member;
  request.generation_id_or_member_epoch = 7;
  expect<OffsetCommitResponse>("another generation", {2, 10}, request, of_item, ErrorCode::kIllegalGeneration);
  request.generation_id_or_member_epoch = 1;
  expect<OffsetCommitResponse>("the member", {2, 10}, request, of_item, ErrorCode::kNone);
  request.group_id = "new";
  expect<OffsetCommitResponse>("a generation of no group", {2, 8}, request, of_item, ErrorCode::kIllegalGeneration);
  expect<OffsetCommitResponse>("a generation of no group", {9, 10}, request, of_item, ErrorCode::kGroupIdNotFound);

  int32_t index = 0;
  OffsetFetchRequest::OffsetFetchRequestTopic asked;
  asked.name = "t";
  asked.partition_indexes = {&index, 1};
  OffsetFetchRequest old;
  old.group_id = "busy";
  std::span<OffsetFetchRequest::OffsetFetchRequestTopic> topics{&asked, 1};
  old.topics = topics;
  OffsetFetchRequest::OffsetFetchRequestTopics named;
  named.name = "t";
  named.topic_id = topic_;
  named.partition_indexes = {&index, 1};
  OffsetFetchRequest::OffsetFetchRequestGroup group;
  group.group_id = "busy";
  std::span<OffsetFetchRequest::OffsetFetchRequestTopics> of_group{&named, 1};
  group.topics = of_group;
  OffsetFetchRequest request_of_groups;
  request_of_groups.groups = {&group, 1};
  for (int16_t version = 1; version <= 10; ++version) {
    const auto answer = call<OffsetFetchResponse>(version, version < 8 ? old : request_of_groups);
    const int64_t offset = version < 8 ? answer->topics[0].partitions[0].committed_offset
                                       : answer->groups[0].topics[0].partitions[0].committed_offset;
    EXPECT_EQ(offset, 5) << version;
  }
}

TEST_F(GroupCasesTest, DescribeListDelete) {
  const std::string member = stable_group("g");
  expect<OffsetCommitResponse>(
      "no member", {8, 8}, commit("empty"), [](const auto& answer) { return answer.topics[0].partitions[0].error_code; },
      ErrorCode::kNone);
  std::string_view name = "missing";
  DescribeGroupsRequest describe;
  describe.groups = {&name, 1};
  const auto of_group = [](const DescribeGroupsResponse& answer) { return answer.groups[0].error_code; };
  expect<DescribeGroupsResponse>("a missing group", {0, 5}, describe, of_group, ErrorCode::kNone);
  expect<DescribeGroupsResponse>("a missing group", {6, 6}, describe, of_group, ErrorCode::kGroupIdNotFound);
  EXPECT_EQ(call<DescribeGroupsResponse>(5, describe)->groups[0].group_state, "Dead");
  name = "g";
  const auto described = call<DescribeGroupsResponse>(6, describe);
  EXPECT_EQ(described->groups[0].group_state, "Stable");
  EXPECT_EQ(described->groups[0].protocol_type, "sr");
  EXPECT_EQ(described->groups[0].members[0].client_host, "/10.0.0.1");

  for (const auto& [states, types, count] :
       std::initializer_list<std::tuple<std::vector<std::string_view>, std::vector<std::string_view>, size_t>>{
           {{}, {}, 2},
           {{"stable"}, {}, 1},
           {{"Empty"}, {"classic"}, 1},
           {{"Dead"}, {}, 0},
           {{}, {"Classic"}, 2},
           {{}, {"share"}, 0}}) {
    auto states_of = states;
    auto types_of = types;
    ListGroupsRequest list;
    list.states_filter = states_of;
    list.types_filter = types_of;
    EXPECT_EQ(call<ListGroupsResponse>(5, list)->groups.size(), count);
  }

  const auto of_result = [](const DeleteGroupsResponse& answer) { return answer.results[0].error_code; };
  DeleteGroupsRequest remove;
  remove.groups_names = {&name, 1};
  expect<DeleteGroupsResponse>("a group with members", {0, 2}, remove, of_result, ErrorCode::kNonEmptyGroup);
  name = "missing";
  expect<DeleteGroupsResponse>("a missing group", {0, 2}, remove, of_result, ErrorCode::kGroupIdNotFound);
  name = "empty";
  expect<DeleteGroupsResponse>("an empty group", {0, 0}, remove, of_result, ErrorCode::kNone);
  expect<DeleteGroupsResponse>("twice", {1, 2}, remove, of_result, ErrorCode::kGroupIdNotFound);
  std::string_view twice[] = {"empty", "missing", "empty"};
  remove.groups_names = twice;
  EXPECT_EQ(call<DeleteGroupsResponse>(2, remove)->results.size(), 2u) << "named twice, answered once";

  OffsetDeleteRequest::OffsetDeleteRequestPartition partition;
  OffsetDeleteRequest::OffsetDeleteRequestTopic topic;
  topic.name = "t";
  topic.partitions = {&partition, 1};
  OffsetDeleteRequest offsets;
  offsets.topics = {&topic, 1};
  expect<OffsetDeleteResponse>("no group id", {0, 0}, offsets, kOwn, ErrorCode::kInvalidGroupId);
  offsets.group_id = "missing";
  expect<OffsetDeleteResponse>("a missing group", {0, 0}, offsets, kOwn, ErrorCode::kGroupIdNotFound);
  offsets.group_id = "g";
  expect<OffsetDeleteResponse>("members of another protocol", {0, 0}, offsets, kOwn, ErrorCode::kNonEmptyGroup);
  call<OffsetCommitResponse>(8, commit("empty"));
  offsets.group_id = "empty";
  const auto of_item = [](const OffsetDeleteResponse& answer) { return answer.topics[0].partitions[0].error_code; };
  partition.partition_index = 9;
  expect<OffsetDeleteResponse>("an unknown partition", {0, 0}, offsets, of_item, ErrorCode::kUnknownTopicOrPartition);
  partition.partition_index = 0;
  expect<OffsetDeleteResponse>("an offset", {0, 0}, offsets, of_item, ErrorCode::kNone);
  expect<OffsetDeleteResponse>("an offset that is gone", {0, 0}, offsets, of_item, ErrorCode::kNone);
}

TEST_F(GroupCasesTest, CoordinatorsOfAnUnknownTypeAreRefusedWithAReason) {
  FindCoordinatorRequest request;
  std::string_view keys[] = {"a"};
  request.coordinator_keys = keys;
  request.key_type = 9;
  const auto answer = call<FindCoordinatorResponse>(4, request);
  EXPECT_EQ(answer->coordinators[0].error_code, code(ErrorCode::kInvalidRequest));
  EXPECT_THAT(std::string(answer->coordinators[0].error_message.value_or("")),
              ::testing::StartsWith("This most likely occurs because of a request being malformed by the client library"));
}

TEST_F(GroupCasesTest, ATopicWithoutPartitionsIsNotAnswered) {
  OffsetCommitRequest::OffsetCommitRequestPartition partition;
  OffsetCommitRequest::OffsetCommitRequestTopic topics[2];
  topics[0].name = topics[1].name = "t";
  topics[1].partitions = {&partition, 1};
  OffsetCommitRequest request;
  request.group_id = "simple";
  request.generation_id_or_member_epoch = -1;
  request.topics = topics;
  const auto answer = call<OffsetCommitResponse>(8, request);
  ASSERT_EQ(answer->topics.size(), 1u);
  EXPECT_EQ(answer->topics[0].partitions.size(), 1u);
}

}  // namespace
}  // namespace weir::broker
