// Answers about topics that a client has no right to, of every API that names topics.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "broker/handlers/broker_fixture.h"
#include "broker/handlers/rights_fixture.h"
#include "broker/metadata/config_record.h"
#include "protocol/messages/alter_configs.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/delete_records.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/describe_configs.h"
#include "protocol/messages/describe_producers.h"
#include "protocol/messages/describe_topic_partitions.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/list_offsets.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/offset_commit.h"
#include "protocol/messages/offset_delete.h"
#include "protocol/messages/offset_fetch.h"
#include "protocol/messages/offset_for_leader_epoch.h"
#include "security/authorization/authorizer.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;
using security::AclOperation;
using security::ResourceType;

class TopicRightsTest : public BrokerTest {
 protected:
  void SetUp() override {
    BrokerTest::SetUp();
    id_ = create_topic("there", 1);
    dispatcher_->set_authorizer(&grants_);
  }

  static ErrorCode error(int16_t code) { return static_cast<ErrorCode>(code); }

  ErrorCode produced(std::string_view topic, int16_t version = 12, const TopicId& id = {}) {
    const std::vector<uint8_t> records = batch({"x"});
    protocol::ProduceRequest::PartitionProduceData data;
    data.records.data = records;
    protocol::ProduceRequest::TopicProduceData asked;
    asked.name = topic;
    asked.topic_id = id;
    asked.partition_data = {&data, 1};
    protocol::ProduceRequest request;
    request.acks = -1;
    request.topic_data = {&asked, 1};
    return error(call<protocol::ProduceResponse>(version, request)->responses[0].partition_responses[0].error_code);
  }
  ErrorCode fetched(std::string_view topic, int16_t version = 12, const TopicId& id = {}) {
    protocol::FetchRequest::FetchPartition partition;
    partition.partition_max_bytes = 1000;
    protocol::FetchRequest::FetchTopic asked;
    asked.topic = topic;
    asked.topic_id = id;
    asked.partitions = {&partition, 1};
    protocol::FetchRequest request;
    request.topics = {&asked, 1};
    return error(call<protocol::FetchResponse>(version, request)->responses[0].partitions[0].error_code);
  }
  ErrorCode offsets_listed(std::string_view topic) {
    protocol::ListOffsetsRequest::ListOffsetsPartition partition;
    partition.timestamp = -1;
    protocol::ListOffsetsRequest::ListOffsetsTopic asked;
    asked.name = topic;
    asked.partitions = {&partition, 1};
    protocol::ListOffsetsRequest request;
    request.topics = {&asked, 1};
    return error(call<protocol::ListOffsetsResponse>(11, request)->topics[0].partitions[0].error_code);
  }
  ErrorCode records_deleted(std::string_view topic) {
    protocol::DeleteRecordsRequest::DeleteRecordsPartition partition;
    protocol::DeleteRecordsRequest::DeleteRecordsTopic asked;
    asked.name = topic;
    asked.partitions = {&partition, 1};
    protocol::DeleteRecordsRequest request;
    request.topics = {&asked, 1};
    return error(call<protocol::DeleteRecordsResponse>(2, request)->topics[0].partitions[0].error_code);
  }
  ErrorCode producers_described(std::string_view topic) {
    int32_t partition = 0;
    protocol::DescribeProducersRequest::TopicRequest asked;
    asked.name = topic;
    asked.partition_indexes = {&partition, 1};
    protocol::DescribeProducersRequest request;
    request.topics = {&asked, 1};
    return error(call<protocol::DescribeProducersResponse>(0, request)->topics[0].partitions[0].error_code);
  }
  ErrorCode epoch_ended(std::string_view topic) {
    protocol::OffsetForLeaderEpochRequest::OffsetForLeaderPartition partition;
    protocol::OffsetForLeaderEpochRequest::OffsetForLeaderTopic asked;
    asked.topic = topic;
    asked.partitions = {&partition, 1};
    protocol::OffsetForLeaderEpochRequest request;
    request.topics = {&asked, 1};
    return error(call<protocol::OffsetForLeaderEpochResponse>(4, request)->topics[0].partitions[0].error_code);
  }
  Answer<protocol::MetadataResponse> metadata(std::optional<std::string_view> topic, const TopicId& id = {},
                                              bool create = false) {
    protocol::MetadataRequest::MetadataRequestTopic asked;
    asked.name = topic;
    asked.topic_id = id;
    protocol::MetadataRequest request;
    request.topics = std::span(&asked, 1);
    request.allow_auto_topic_creation = create;
    request.include_topic_authorized_operations = true;
    return call<protocol::MetadataResponse>(13, request);
  }
  ErrorCode partitions_described(std::string_view topic) {
    protocol::DescribeTopicPartitionsRequest::TopicRequest asked;
    asked.name = topic;
    protocol::DescribeTopicPartitionsRequest request;
    request.topics = {&asked, 1};
    return error(call<protocol::DescribeTopicPartitionsResponse>(0, request)->topics[0].error_code);
  }
  ErrorCode grown(std::string_view topic) {
    protocol::CreatePartitionsRequest::CreatePartitionsTopic asked;
    asked.name = topic;
    asked.count = 2;
    asked.assignments = std::nullopt;
    protocol::CreatePartitionsRequest request;
    request.topics = {&asked, 1};
    request.validate_only = true;
    return error(call<protocol::CreatePartitionsResponse>(3, request)->results[0].error_code);
  }
  Answer<protocol::CreateTopicsResponse> created(std::string_view topic) {
    protocol::CreateTopicsRequest::CreatableTopic asked;
    asked.name = topic;
    asked.num_partitions = 1;
    asked.replication_factor = 1;
    protocol::CreateTopicsRequest request;
    request.topics = {&asked, 1};
    return call<protocol::CreateTopicsResponse>(7, request);
  }
  Answer<protocol::DeleteTopicsResponse> deleted(std::optional<std::string_view> topic, const TopicId& id = {}) {
    protocol::DeleteTopicsRequest::DeleteTopicState asked;
    asked.name = topic;
    asked.topic_id = id;
    protocol::DeleteTopicsRequest request;
    request.topics = {&asked, 1};
    return call<protocol::DeleteTopicsResponse>(6, request);
  }
  template <typename Response, typename Request, typename Resource>
  ErrorCode configs_altered(std::string_view topic, int16_t version) {
    Resource asked;
    asked.resource_type = static_cast<int8_t>(ConfigResourceType::kTopic);
    asked.resource_name = topic;
    Request request;
    request.resources = {&asked, 1};
    return error(call<Response>(version, request)->responses[0].error_code);
  }
  ErrorCode configs_described(std::string_view topic) {
    protocol::DescribeConfigsRequest::DescribeConfigsResource asked;
    asked.resource_type = static_cast<int8_t>(ConfigResourceType::kTopic);
    asked.resource_name = topic;
    asked.configuration_keys = std::nullopt;
    protocol::DescribeConfigsRequest request;
    request.resources = {&asked, 1};
    return error(call<protocol::DescribeConfigsResponse>(4, request)->results[0].error_code);
  }
  ErrorCode offset_committed(std::string_view topic, int16_t version = 9, const TopicId& id = {}) {
    protocol::OffsetCommitRequest::OffsetCommitRequestPartition partition;
    partition.committed_offset = 1;
    protocol::OffsetCommitRequest::OffsetCommitRequestTopic asked;
    asked.name = topic;
    asked.topic_id = id;
    asked.partitions = {&partition, 1};
    protocol::OffsetCommitRequest request;
    request.group_id = "group";
    request.topics = {&asked, 1};
    return error(call<protocol::OffsetCommitResponse>(version, request)->topics[0].partitions[0].error_code);
  }
  // Fetches the offsets of one topic, or of all topics of the group.
  Answer<protocol::OffsetFetchResponse> offsets_fetched(std::optional<std::string_view> topic, int16_t version = 9,
                                                        const TopicId& id = {}) {
    int32_t partition = 0;
    protocol::OffsetFetchRequest::OffsetFetchRequestTopics asked;
    asked.name = topic.value_or("");
    asked.topic_id = id;
    asked.partition_indexes = {&partition, 1};
    protocol::OffsetFetchRequest::OffsetFetchRequestGroup group;
    group.group_id = "group";
    group.topics = std::nullopt;
    if (topic) group.topics = std::span(&asked, 1);
    protocol::OffsetFetchRequest request;
    request.groups = {&group, 1};
    return call<protocol::OffsetFetchResponse>(version, request);
  }
  ErrorCode offset_fetched(std::string_view topic, int16_t version = 9, const TopicId& id = {}) {
    return error(offsets_fetched(topic, version, id)->groups[0].topics[0].partitions[0].error_code);
  }
  ErrorCode offset_deleted(std::string_view topic) {
    protocol::OffsetDeleteRequest::OffsetDeleteRequestPartition partition;
    protocol::OffsetDeleteRequest::OffsetDeleteRequestTopic asked;
    asked.name = topic;
    asked.partitions = {&partition, 1};
    protocol::OffsetDeleteRequest request;
    request.group_id = "group";
    request.topics = {&asked, 1};
    return error(call<protocol::OffsetDeleteResponse>(0, request)->topics[0].partitions[0].error_code);
  }
  // Makes the group, as a client with all rights.
  void make_group() {
    dispatcher_->set_authorizer(nullptr);
    create_topic("__consumer_offsets", 1);
    run_until([&] { return offset_committed("there") == ErrorCode::kNone; });
    dispatcher_->set_authorizer(&grants_);
  }

  Grants grants_{ResourceType::kTopic, ResourceType::kCluster};
  TopicId id_;
};

// A topic by name is denied whether it exists or not. With the right that the API needs, it is found or unknown.
TEST_F(TopicRightsTest, ByNameIsDeniedBeforeItIsLookedFor) {
  using enum AclOperation;
  using Ask = std::function<ErrorCode(std::string_view)>;
  make_group();
  const auto alter = [&](std::string_view topic) {
    using Request = protocol::AlterConfigsRequest;
    return configs_altered<protocol::AlterConfigsResponse, Request, Request::AlterConfigsResource>(topic, 2);
  };
  const auto alter_incrementally = [&](std::string_view topic) {
    using Request = protocol::IncrementalAlterConfigsRequest;
    return configs_altered<protocol::IncrementalAlterConfigsResponse, Request, Request::AlterConfigsResource>(topic, 1);
  };
  const std::tuple<const char*, AclOperation, Ask> apis[] = {
      {"Produce", kWrite, [&](std::string_view topic) { return produced(topic); }},
      {"Fetch", kRead, [&](std::string_view topic) { return fetched(topic); }},
      {"ListOffsets", kDescribe, [&](std::string_view topic) { return offsets_listed(topic); }},
      {"DeleteRecords", kDelete, [&](std::string_view topic) { return records_deleted(topic); }},
      {"DescribeProducers", kRead, [&](std::string_view topic) { return producers_described(topic); }},
      {"OffsetForLeaderEpoch", kDescribe, [&](std::string_view topic) { return epoch_ended(topic); }},
      {"Metadata", kDescribe, [&](std::string_view topic) { return error(metadata(topic)->topics[0].error_code); }},
      {"DescribeTopicPartitions", kDescribe, [&](std::string_view topic) { return partitions_described(topic); }},
      {"CreatePartitions", kAlter, [&](std::string_view topic) { return grown(topic); }},
      {"AlterConfigs", kAlterConfigs, alter},
      {"IncrementalAlterConfigs", kAlterConfigs, alter_incrementally},
      {"DescribeConfigs", kDescribeConfigs, [&](std::string_view topic) { return configs_described(topic); }},
      {"OffsetCommit", kRead, [&](std::string_view topic) { return offset_committed(topic); }},
      {"OffsetDelete", kRead, [&](std::string_view topic) { return offset_deleted(topic); }},
  };
  for (const auto& [name, operation, ask] : apis) {
    SCOPED_TRACE(name);
    grants_.clear();
    EXPECT_EQ(ask("there"), ErrorCode::kTopicAuthorizationFailed);
    EXPECT_EQ(ask("absent"), ErrorCode::kTopicAuthorizationFailed);
    grants_.add(operation, ResourceType::kTopic, "there");
    grants_.add(operation, ResourceType::kTopic, "absent");
    EXPECT_EQ(ask("there"), ErrorCode::kNone);
    EXPECT_EQ(ask("absent"), ErrorCode::kUnknownTopicOrPartition);
  }
}

TEST_F(TopicRightsTest, ByIdIsDeniedWithoutItsName) {
  const TopicId unknown = Uuid::from_random(9, 9);
  make_group();
  EXPECT_EQ(produced("", 13, id_), ErrorCode::kTopicAuthorizationFailed);
  EXPECT_EQ(produced("", 13, unknown), ErrorCode::kUnknownTopicId);
  EXPECT_EQ(fetched("", 13, id_), ErrorCode::kTopicAuthorizationFailed);
  EXPECT_EQ(fetched("", 13, unknown), ErrorCode::kUnknownTopicId);
  EXPECT_EQ(offset_committed("", 10, id_), ErrorCode::kTopicAuthorizationFailed);
  EXPECT_EQ(offset_committed("", 10, unknown), ErrorCode::kUnknownTopicId);
  EXPECT_EQ(offset_fetched("", 10, id_), ErrorCode::kTopicAuthorizationFailed);
  EXPECT_EQ(offset_fetched("", 10, unknown), ErrorCode::kUnknownTopicId);
  const auto denied = metadata(std::nullopt, id_);
  EXPECT_EQ(error(denied->topics[0].error_code), ErrorCode::kTopicAuthorizationFailed);
  EXPECT_EQ(denied->topics[0].topic_id, id_);
  EXPECT_FALSE(denied->topics[0].name.has_value());
  EXPECT_TRUE(denied->topics[0].partitions.empty());
}

TEST_F(TopicRightsTest, ByNameIsDeniedWithoutItsId) {
  const auto denied = metadata("there");
  EXPECT_EQ(denied->topics[0].name, "there");
  EXPECT_TRUE(denied->topics[0].topic_id.is_zero());
  EXPECT_EQ(denied->topics[0].topic_authorized_operations, INT32_MIN);
}

TEST_F(TopicRightsTest, AllTopicsAreThoseThatMayBeDescribed) {
  dispatcher_->set_authorizer(nullptr);
  create_topic("other", 1);
  dispatcher_->set_authorizer(&grants_);
  grants_.add(AclOperation::kDescribe, ResourceType::kTopic, "other");
  protocol::MetadataRequest all;
  all.topics = std::nullopt;
  const auto answer = call<protocol::MetadataResponse>(13, all);
  ASSERT_EQ(answer->topics.size(), 1u);
  EXPECT_EQ(answer->topics[0].name, "other");
  const auto described = call<protocol::DescribeTopicPartitionsResponse>(0, protocol::DescribeTopicPartitionsRequest());
  ASSERT_EQ(described->topics.size(), 1u);
  EXPECT_EQ(described->topics[0].name, "other");
}

TEST_F(TopicRightsTest, CommittedOffsetsAreShownOfTopicsThatMayBeDescribed) {
  make_group();
  EXPECT_TRUE(offsets_fetched(std::nullopt)->groups[0].topics.empty());
  EXPECT_EQ(offset_fetched("there"), ErrorCode::kTopicAuthorizationFailed);
  grants_.add(AclOperation::kDescribe, ResourceType::kTopic, "there");
  EXPECT_EQ(offsets_fetched(std::nullopt)->groups[0].topics.size(), 1u);
  EXPECT_EQ(offset_fetched("there"), ErrorCode::kNone);
}

TEST_F(TopicRightsTest, CreatingNeedsTheRightToTheName) {
  EXPECT_EQ(error(created("new")->topics[0].error_code), ErrorCode::kTopicAuthorizationFailed);
  EXPECT_EQ(error(created("there")->topics[0].error_code), ErrorCode::kTopicAuthorizationFailed);
  grants_.add(AclOperation::kCreate, ResourceType::kTopic, "new");
  grants_.add(AclOperation::kCreate, ResourceType::kTopic, "there");
  EXPECT_EQ(error(created("there")->topics[0].error_code), ErrorCode::kTopicAlreadyExists);
  const auto blind = created("new");
  EXPECT_EQ(error(blind->topics[0].error_code), ErrorCode::kNone);
  EXPECT_EQ(error(blind->topics[0].topic_config_error_code), ErrorCode::kTopicAuthorizationFailed);
  EXPECT_EQ(blind->topics[0].num_partitions, -1);
  grants_.add(AclOperation::kCreate, ResourceType::kTopic, "newer");
  grants_.add(AclOperation::kDescribeConfigs, ResourceType::kTopic, "newer");
  EXPECT_EQ(created("newer")->topics[0].num_partitions, 1);
}

TEST_F(TopicRightsTest, MetadataCreatesForWhomMayCreate) {
  grants_.add(AclOperation::kDescribe, ResourceType::kTopic, "new");
  EXPECT_EQ(error(metadata("new", {}, true)->topics[0].error_code), ErrorCode::kTopicAuthorizationFailed);
  EXPECT_EQ(broker_->shard(0).image->find("new"), nullptr);
  grants_.add(AclOperation::kCreate, ResourceType::kTopic, "new");
  EXPECT_EQ(error(metadata("new", {}, true)->topics[0].error_code), ErrorCode::kNone);
}

TEST_F(TopicRightsTest, DeletingTellsTheNameToWhomMayDescribe) {
  EXPECT_EQ(error(deleted("there")->responses[0].error_code), ErrorCode::kTopicAuthorizationFailed);
  EXPECT_EQ(error(deleted("absent")->responses[0].error_code), ErrorCode::kTopicAuthorizationFailed);
  const auto nameless = deleted(std::nullopt, id_);
  EXPECT_EQ(error(nameless->responses[0].error_code), ErrorCode::kTopicAuthorizationFailed);
  EXPECT_FALSE(nameless->responses[0].name.has_value());
  grants_.add(AclOperation::kDescribe, ResourceType::kTopic, "there");
  grants_.add(AclOperation::kDescribe, ResourceType::kTopic, "absent");
  EXPECT_EQ(error(deleted("there")->responses[0].error_code), ErrorCode::kTopicAuthorizationFailed);
  EXPECT_EQ(error(deleted("absent")->responses[0].error_code), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(deleted(std::nullopt, id_)->responses[0].name, "there");
  grants_.add(AclOperation::kDelete, ResourceType::kTopic, "there");
  EXPECT_EQ(error(deleted(std::nullopt, id_)->responses[0].error_code), ErrorCode::kNone);
}

}  // namespace
}  // namespace weir::broker
