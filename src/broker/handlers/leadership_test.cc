// Answers about partitions that other brokers lead, and about partitions without a leader.
#include <gmock/gmock.h>

#include "broker/coordinators/group_coordinators.h"
#include "broker/handlers/broker_fixture.h"
#include "protocol/errors.h"
#include "protocol/messages/describe_cluster.h"
#include "protocol/messages/describe_topic_partitions.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/list_offsets.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/offset_for_leader_epoch.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;
using ::testing::ElementsAre;

class LeadershipTest : public BrokerTest {
 protected:
  static constexpr int32_t kOther = 7, kGone = 9;

  void put(std::string key, std::string value) {
    ASSERT_TRUE(meta_.transact_blocking({{}, {{storage::MetaOperation::Kind::kPut, std::move(key), std::move(value)}}}));
  }
  // Another broker lives and leads partition 1. The leader of partition 2 is gone.
  void share(const TopicId& topic) {
    const BrokerRecord other{kOther, 4, "far", {{"PLAINTEXT", "PLAINTEXT", {"other.example", 9192}}}};
    put(other.key(), other.encode());
    const PartitionRecord moved{{topic, 1}, kOther, 3, 4, {kOther, self()}};
    put(moved.key(), moved.encode());
    const PartitionRecord lost{{topic, 2}, kGone, 5, 4, {kGone, kOther}};
    put(lost.key(), lost.encode());
  }
  int32_t self() { return broker_->shard(0).image->self().id; }
  template <typename T>
  static std::vector<int32_t> ids(const T& span) {
    return {span.begin(), span.end()};
  }
  template <typename Partitions>
  void expect_shared(const Partitions& partitions) {
    ASSERT_EQ(partitions.size(), 3u);
    EXPECT_EQ(partitions[0].leader_id, self());
    EXPECT_EQ(partitions[0].error_code, 0);
    EXPECT_EQ(partitions[1].leader_id, kOther);
    EXPECT_EQ(partitions[1].leader_epoch, 3);
    EXPECT_EQ(partitions[1].error_code, 0);
    EXPECT_THAT(ids(partitions[1].replica_nodes), ElementsAre(kOther, self()));
    EXPECT_THAT(ids(partitions[1].isr_nodes), ElementsAre(kOther, self()));
    EXPECT_EQ(partitions[2].leader_id, -1);
    EXPECT_EQ(partitions[2].error_code, code(ErrorCode::kLeaderNotAvailable));
    EXPECT_THAT(ids(partitions[2].replica_nodes), ElementsAre(kGone, kOther));
    EXPECT_THAT(ids(partitions[2].isr_nodes), ElementsAre(kOther));
    EXPECT_THAT(ids(partitions[2].offline_replicas), ElementsAre(kGone));
  }
};

TEST_F(LeadershipTest, MetadataNamesBrokersLeadersAndReplicas) {
  share(create_topic("t", 3));
  restart(false);
  protocol::MetadataRequest request;
  request.topics = std::nullopt;
  const auto answer = call<protocol::MetadataResponse>(12, request);
  ASSERT_EQ(answer->brokers.size(), 2u);
  EXPECT_EQ(answer->brokers[0].node_id, self());
  EXPECT_EQ(answer->brokers[0].host, "broker.example");
  EXPECT_EQ(answer->brokers[1].node_id, kOther);
  EXPECT_EQ(answer->brokers[1].host, "other.example");
  EXPECT_EQ(answer->brokers[1].port, 9192);
  EXPECT_EQ(answer->brokers[1].rack, "far");
  EXPECT_EQ(answer->controller_id, self());
  expect_shared(answer->topics[0].partitions);
}

TEST_F(LeadershipTest, DescribeTopicPartitionsTellsTheSame) {
  share(create_topic("t", 3));
  restart(false);
  protocol::DescribeTopicPartitionsRequest request;
  const auto answer = call<protocol::DescribeTopicPartitionsResponse>(0, request);
  expect_shared(answer->topics[0].partitions);
}

TEST_F(LeadershipTest, DescribeClusterNamesAllThatLive) {
  share(create_topic("t", 3));
  restart(false);
  const auto answer = call<protocol::DescribeClusterResponse>(1, protocol::DescribeClusterRequest{});
  ASSERT_EQ(answer->brokers.size(), 2u);
  EXPECT_EQ(answer->brokers[1].broker_id, kOther);
  EXPECT_EQ(answer->controller_id, self());
}

TEST_F(LeadershipTest, ABrokerWithoutTheListenerIsNotNamed) {
  const BrokerRecord other{kOther, 4, "", {{"TLS", "SSL", {"other.example", 9192}}}};
  put(other.key(), other.encode());
  restart(false);
  protocol::MetadataRequest request;
  request.topics = std::nullopt;
  EXPECT_EQ(call<protocol::MetadataResponse>(12, request)->brokers.size(), 1u);
}

TEST_F(LeadershipTest, ACoordinatorIsWhoLeadsThePartitionOfItsGroup) {
  std::string_view group = "g";
  protocol::FindCoordinatorRequest request;
  request.coordinator_keys = std::span(&group, 1);
  const auto ask = [&] { return call<protocol::FindCoordinatorResponse>(4, request); };
  EXPECT_EQ(ask()->coordinators[0].node_id, self());
  const Topic* offsets = broker_->shard(0).image->find(GroupCoordinators::kTopic);
  ASSERT_NE(offsets, nullptr);
  const storage::PartitionId partition = offsets->partition(group_hash(group) % offsets->partition_count());
  const BrokerRecord other{kOther, 4, "", {{"PLAINTEXT", "PLAINTEXT", {"other.example", 9192}}}};
  put(other.key(), other.encode());
  PartitionRecord moved{partition, kOther, 3, 4, {kOther}};
  put(moved.key(), moved.encode());
  restart(false);
  const auto remote = ask();
  EXPECT_EQ(remote->coordinators[0].node_id, kOther);
  EXPECT_EQ(remote->coordinators[0].host, "other.example");
  EXPECT_EQ(remote->coordinators[0].port, 9192);
  moved.leader = kGone;
  put(moved.key(), moved.encode());
  restart(false);
  const auto unknown = ask();
  EXPECT_EQ(unknown->coordinators[0].error_code, code(ErrorCode::kCoordinatorNotAvailable));
  EXPECT_EQ(unknown->coordinators[0].node_id, -1);
}

// A broker refuses requests that only the leader of a partition serves, and names the leader to the client.
TEST_F(LeadershipTest, OnlyTheLeaderServes) {
  const TopicId topic = create_topic("t", 3);
  share(topic);
  restart(false);
  const auto produced = [&](int32_t partition) {
    return static_cast<ErrorCode>(produce("t", partition, {"x"})->responses[0].partition_responses[0].error_code);
  };
  const auto fetched = [&](int32_t partition) {
    protocol::FetchRequest::FetchPartition asked;
    asked.partition = partition;
    asked.partition_max_bytes = 1000;
    protocol::FetchRequest::FetchTopic topics;
    topics.topic_id = topic;
    topics.partitions = {&asked, 1};
    protocol::FetchRequest request;
    request.topics = {&topics, 1};
    return call<protocol::FetchResponse>(16, request);
  };
  const auto fetch_error = [&](int32_t partition) {
    return static_cast<ErrorCode>(fetched(partition)->responses[0].partitions[0].error_code);
  };
  const auto listed = [&](int32_t partition) {
    protocol::ListOffsetsRequest::ListOffsetsPartition asked;
    asked.partition_index = partition;
    asked.timestamp = -1;
    protocol::ListOffsetsRequest::ListOffsetsTopic topics;
    topics.name = "t";
    topics.partitions = {&asked, 1};
    protocol::ListOffsetsRequest request;
    request.topics = {&topics, 1};
    return static_cast<ErrorCode>(call<protocol::ListOffsetsResponse>(11, request)->topics[0].partitions[0].error_code);
  };
  const auto ended = [&](int32_t partition) {
    protocol::OffsetForLeaderEpochRequest::OffsetForLeaderPartition asked;
    asked.partition = partition;
    protocol::OffsetForLeaderEpochRequest::OffsetForLeaderTopic topics;
    topics.topic = "t";
    topics.partitions = {&asked, 1};
    protocol::OffsetForLeaderEpochRequest request;
    request.topics = {&topics, 1};
    return static_cast<ErrorCode>(call<protocol::OffsetForLeaderEpochResponse>(4, request)->topics[0].partitions[0].error_code);
  };
  const std::vector<ErrorCode> served(4, ErrorCode::kNone), refused(4, ErrorCode::kNotLeaderOrFollower);
  EXPECT_EQ((std::vector{produced(0), fetch_error(0), listed(0), ended(0)}), served);
  EXPECT_EQ((std::vector{produced(1), fetch_error(1), listed(1), ended(1)}), refused) << "another broker's";
  EXPECT_EQ((std::vector{produced(2), fetch_error(2), listed(2), ended(2)}), refused) << "nobody's";
  EXPECT_EQ(produced(3), ErrorCode::kUnknownTopicOrPartition);
  const auto elsewhere = fetched(1);
  EXPECT_EQ(elsewhere->responses[0].partitions[0].current_leader.leader_id, kOther);
  ASSERT_EQ(elsewhere->node_endpoints.size(), 2u);
  EXPECT_EQ(elsewhere->node_endpoints[1].host, "other.example");
}

}  // namespace
}  // namespace weir::broker
