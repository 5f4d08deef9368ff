// What clients are told of partitions that other brokers lead, and of those that nobody does.
#include <gmock/gmock.h>

#include "broker/handlers/broker_fixture.h"
#include "broker/handlers/group_coordinators.h"
#include "protocol/errors.h"
#include "protocol/messages/describe_cluster.h"
#include "protocol/messages/describe_topic_partitions.h"
#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/metadata.h"

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
  // Another broker lives and leads partition 1; partition 2 was led by one that is gone.
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

}  // namespace
}  // namespace weir::broker
