// Metadata, DescribeTopicPartitions, DescribeCluster and FindCoordinator as clients see them.
#include <gmock/gmock.h>

#include "broker/handlers/handlers_fixture.h"
#include "protocol/messages/describe_cluster.h"
#include "protocol/messages/describe_topic_partitions.h"
#include "protocol/messages/find_coordinator.h"
#include "storage/log/offline_markers.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;

class MetadataHandlersTest : public HandlersTest {};

TEST_F(MetadataHandlersTest, MetadataCreatesAndAnswersInOne) {
  set("num.partitions", "4");
  restart(false);
  const auto answer = metadata({"fresh"});
  ASSERT_EQ(answer->topics.size(), 1u);
  EXPECT_EQ(answer->topics[0].error_code, 0);
  EXPECT_EQ(answer->topics[0].partitions.size(), 4u);
  EXPECT_EQ(answer->topics[0].partitions[3].leader_id, answer->controller_id);
  EXPECT_EQ(answer->brokers[0].host, "broker.example");
  EXPECT_EQ(answer->brokers[0].port, 9092);
  EXPECT_EQ(*answer->cluster_id, broker_->cluster_id());
  EXPECT_EQ(answer->topics[0].topic_authorized_operations, INT32_MIN);
}

TEST_F(MetadataHandlersTest, MetadataOfMissingTopics) {
  const auto answer = metadata({"absent", "bad/name", "__consumer_offsets"}, false);
  EXPECT_EQ(answer->topics[0].error_code, code(ErrorCode::kUnknownTopicOrPartition));
  EXPECT_EQ(answer->topics[1].error_code, code(ErrorCode::kInvalidTopicException));
  EXPECT_EQ(answer->topics[2].error_code, code(ErrorCode::kUnknownTopicOrPartition));
  EXPECT_TRUE(answer->topics[2].is_internal);
  EXPECT_EQ(metadata({"bad/name"})->topics[0].error_code, code(ErrorCode::kInvalidTopicException));
}

TEST_F(MetadataHandlersTest, MetadataByIdAndOfAll) {
  const TopicId id = create_topic("a", 1);
  create_topic("b", 2);
  std::vector<protocol::MetadataRequest::MetadataRequestTopic> topics(2);
  topics[0].topic_id = id;
  topics[1].topic_id = Uuid::from_random(8, 9);
  protocol::MetadataRequest request;
  request.topics = std::span(topics);
  const auto by_id = call<protocol::MetadataResponse>(13, request);
  EXPECT_EQ(*by_id->topics[0].name, "a");
  EXPECT_EQ(by_id->topics[1].error_code, code(ErrorCode::kUnknownTopicId));
  EXPECT_EQ(by_id->topics[1].name, std::nullopt);
  for (const int16_t version : {int16_t{10}, int16_t{11}}) {
    const auto refused = call<protocol::MetadataResponse>(version, request);  // they have ids, for nothing
    ASSERT_EQ(refused->topics.size(), 2u);
    for (const auto& topic : refused->topics) EXPECT_EQ(topic.error_code, code(ErrorCode::kInvalidRequest));
    EXPECT_EQ(refused->topics[1].topic_id, topics[1].topic_id);
    EXPECT_EQ(*refused->topics[1].name, "");
  }
  request.topics = std::nullopt;
  EXPECT_EQ(call<protocol::MetadataResponse>(13, request)->topics.size(), 2u);
  EXPECT_EQ(call<protocol::MetadataResponse>(1, request)->topics.size(), 2u);
  request.topics = std::span<protocol::MetadataRequest::MetadataRequestTopic>();
  EXPECT_EQ(call<protocol::MetadataResponse>(0, request)->topics.size(), 2u);
  EXPECT_EQ(call<protocol::MetadataResponse>(1, request)->topics.size(), 0u);
}

TEST_F(MetadataHandlersTest, DamagedPartitionsHaveNoLeader) {
  const TopicId id = create_topic("a", 3);
  stop();
  ASSERT_TRUE(storage::OfflineMarkers(sim_.disk(), "/data").put({id, 1}, "damaged by this test"));
  frontend_metrics_.reset();
  registry_.reset();
  start();
  const auto answer = metadata({"a"});
  const auto& partitions = answer->topics[0].partitions;
  EXPECT_EQ(partitions[0].error_code, 0);
  EXPECT_EQ(partitions[0].leader_id, answer->controller_id);
  EXPECT_EQ(partitions[1].error_code, code(ErrorCode::kLeaderNotAvailable));
  EXPECT_EQ(partitions[1].leader_id, -1);
  EXPECT_THAT(partitions[1].offline_replicas, ::testing::ElementsAre(answer->controller_id));
  EXPECT_THAT(partitions[2].offline_replicas, ::testing::IsEmpty());
  EXPECT_EQ(produce("a", 1, {"x"})->responses[0].partition_responses[0].error_code, code(ErrorCode::kKafkaStorageError));
  const auto described = call<protocol::DescribeTopicPartitionsResponse>(0, protocol::DescribeTopicPartitionsRequest());
  EXPECT_EQ(described->topics[0].partitions[1].leader_id, -1);
  EXPECT_EQ(described->topics[0].partitions[2].leader_id, answer->controller_id);
}

TEST_F(MetadataHandlersTest, DescribeTopicPartitionsPages) {
  create_topic("a", 3);
  create_topic("b", 3);
  protocol::DescribeTopicPartitionsRequest request;
  request.response_partition_limit = 4;
  const auto first = call<protocol::DescribeTopicPartitionsResponse>(0, request);
  ASSERT_EQ(first->topics.size(), 2u);
  EXPECT_EQ(first->topics[1].partitions.size(), 1u);
  ASSERT_NE(first->next_cursor, nullptr);
  EXPECT_EQ(first->next_cursor->topic_name, "b");
  EXPECT_EQ(first->next_cursor->partition_index, 1);
  protocol::DescribeTopicPartitionsRequest::Cursor cursor;
  cursor.topic_name = "b";
  cursor.partition_index = 1;
  request.cursor = &cursor;
  const auto second = call<protocol::DescribeTopicPartitionsResponse>(0, request);
  ASSERT_EQ(second->topics.size(), 1u);
  EXPECT_EQ(second->topics[0].partitions[0].partition_index, 1);
  EXPECT_EQ(second->next_cursor, nullptr);
}

TEST_F(MetadataHandlersTest, ClusterAndCoordinators) {
  const auto cluster = call<protocol::DescribeClusterResponse>(2, protocol::DescribeClusterRequest());
  EXPECT_EQ(cluster->brokers[0].host, "broker.example");
  protocol::DescribeClusterRequest controllers;
  controllers.endpoint_type = 2;
  EXPECT_EQ(call<protocol::DescribeClusterResponse>(1, controllers)->error_code, code(ErrorCode::kMismatchedEndpointType));
  protocol::FindCoordinatorRequest one;
  one.key = "group";
  EXPECT_EQ(call<protocol::FindCoordinatorResponse>(3, one)->port, 9092);
  EXPECT_EQ(call<protocol::FindCoordinatorResponse>(3, one)->error_message, "NONE");
  protocol::FindCoordinatorRequest many;
  std::vector<std::string_view> keys = {"a", "b"};
  many.coordinator_keys = keys;
  const auto answer = call<protocol::FindCoordinatorResponse>(6, many);
  ASSERT_EQ(answer->coordinators.size(), 2u);
  EXPECT_EQ(answer->coordinators[1].key, "b");
  EXPECT_EQ(answer->coordinators[1].error_message, "");
  many.key_type = 9;
  EXPECT_EQ(call<protocol::FindCoordinatorResponse>(6, many)->coordinators[0].error_code, code(ErrorCode::kInvalidRequest));
}

}  // namespace
}  // namespace weir::broker
