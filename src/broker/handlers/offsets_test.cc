// ListOffsets, OffsetForLeaderEpoch and DeleteRecords as clients see them.
#include <gtest/gtest.h>

#include "broker/handlers/handlers_fixture.h"
#include "protocol/messages/delete_records.h"
#include "protocol/messages/offset_for_leader_epoch.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;

class OffsetHandlersTest : public HandlersTest {};

TEST_F(OffsetHandlersTest, ListOffsetsSpecials) {
  create_topic("t", 1);
  EXPECT_EQ(offset("t", 0, -1).offset, 0);
  EXPECT_EQ(offset("t", 0, -2).leader_epoch, 0);
  EXPECT_EQ(offset("t", 0, -3).offset, -1);
  const int64_t base = 1'735'689'600'000;
  produce(peer(0), "t", 0, batch({"a", "b", "c"}, {}, base));
  produce(peer(0), "t", 0, batch({"d"}, {}, base - 5000));
  EXPECT_EQ(offset("t", 0, -1).offset, 4);
  EXPECT_EQ(offset("t", 0, -1).timestamp, -1);
  EXPECT_EQ(offset("t", 0, -2).offset, 0);
  EXPECT_EQ(offset("t", 0, -4).offset, 0);
  EXPECT_EQ(offset("t", 0, -5).offset, -1);
  EXPECT_EQ(offset("t", 0, -6).offset, -1);
  EXPECT_EQ(offset("t", 0, -3).offset, 2);
  EXPECT_EQ(offset("t", 0, -3).timestamp, base + 2);
  EXPECT_EQ(offset("t", 0, base + 1).offset, 1);
  EXPECT_EQ(offset("t", 0, base + 1).timestamp, base + 1);
  EXPECT_EQ(offset("t", 0, base + 3).offset, -1);
  EXPECT_EQ(offset("t", 0, -3, 6).error_code, code(ErrorCode::kUnsupportedVersion));
  EXPECT_EQ(offset("t", 0, -7).error_code, code(ErrorCode::kUnsupportedVersion));
  EXPECT_EQ(offset("t", 1, -1).error_code, code(ErrorCode::kUnknownTopicOrPartition));
}

TEST_F(OffsetHandlersTest, APartitionNamedTwiceIsRefusedOnce) {
  create_topic("t", 2);
  protocol::ListOffsetsRequest::ListOffsetsPartition partitions[3];
  for (auto& partition : partitions) partition.timestamp = -1;
  partitions[0].partition_index = partitions[2].partition_index = 1;
  protocol::ListOffsetsRequest::ListOffsetsTopic topics[2];
  topics[0].name = topics[1].name = "t";
  topics[0].partitions = partitions;
  topics[1].partitions = {partitions, 1};
  protocol::ListOffsetsRequest request;
  request.topics = topics;
  const auto answer = call<protocol::ListOffsetsResponse>(8, request);
  ASSERT_EQ(answer->topics.size(), 1u);
  ASSERT_EQ(answer->topics[0].partitions.size(), 2u);
  EXPECT_EQ(answer->topics[0].partitions[0].partition_index, 1);
  EXPECT_EQ(answer->topics[0].partitions[0].error_code, code(ErrorCode::kInvalidRequest));
  EXPECT_EQ(answer->topics[0].partitions[1].partition_index, 0);
  EXPECT_EQ(answer->topics[0].partitions[1].offset, 0);
}

TEST_F(OffsetHandlersTest, DeleteRecordsMovesTheStart) {
  create_topic("t", 1);
  create_topic("c", 1, {{"cleanup.policy", "compact"}});
  produce("t", 0, {"a", "b", "c"});
  const auto delete_to = [&](std::string_view name, int64_t to) {
    protocol::DeleteRecordsRequest::DeleteRecordsPartition partition;
    partition.offset = to;
    protocol::DeleteRecordsRequest::DeleteRecordsTopic topic;
    topic.name = name;
    topic.partitions = {&partition, 1};
    protocol::DeleteRecordsRequest request;
    request.topics = {&topic, 1};
    return call<protocol::DeleteRecordsResponse>(2, request)->topics[0].partitions[0];
  };
  EXPECT_EQ(delete_to("t", 2).low_watermark, 2);
  EXPECT_EQ(offset("t", 0, -2).offset, 2);
  EXPECT_EQ(delete_to("t", 4).error_code, code(ErrorCode::kOffsetOutOfRange));
  EXPECT_EQ(delete_to("t", -1).low_watermark, 3);
  EXPECT_EQ(delete_to("c", 0).error_code, code(ErrorCode::kPolicyViolation));
  EXPECT_EQ(delete_to("absent", 0).error_code, code(ErrorCode::kUnknownTopicOrPartition));
}

TEST_F(OffsetHandlersTest, RestartKeepsDataAndRaisesEpochsAfterAnUncleanEnd) {
  create_topic("t", 3);
  produce("t", 2, {"a", "b"});
  restart(false);
  EXPECT_EQ(offset("t", 2, -1).offset, 2);
  EXPECT_EQ(offset("t", 2, -1).leader_epoch, 0);
  restart(true);
  create_topic("younger", 1);
  EXPECT_EQ(offset("t", 2, -1).leader_epoch, 1);
  EXPECT_EQ(offset("younger", 0, -1).leader_epoch, 0);
  produce("t", 2, {"c"});
  const auto end_of = [&](int32_t epoch, int32_t current) {
    protocol::OffsetForLeaderEpochRequest::OffsetForLeaderPartition partition;
    partition.partition = 2;
    partition.leader_epoch = epoch;
    partition.current_leader_epoch = current;
    protocol::OffsetForLeaderEpochRequest::OffsetForLeaderTopic topics;
    topics.topic = "t";
    topics.partitions = {&partition, 1};
    protocol::OffsetForLeaderEpochRequest request;
    request.topics = {&topics, 1};
    return call<protocol::OffsetForLeaderEpochResponse>(4, request)->topics[0].partitions[0];
  };
  EXPECT_EQ(end_of(0, 1).end_offset, 2);
  EXPECT_EQ(end_of(1, 1).end_offset, 3);
  EXPECT_EQ(end_of(1, 1).leader_epoch, 1);
  EXPECT_EQ(end_of(2, 1).end_offset, -1);
  EXPECT_EQ(end_of(0, 0).error_code, code(ErrorCode::kFencedLeaderEpoch));
  EXPECT_EQ(end_of(0, 2).error_code, code(ErrorCode::kUnknownLeaderEpoch));
}

TEST_F(OffsetHandlersTest, AnEpochThatEndedBelowTheLogStartEndsThere) {
  create_topic("t", 1);
  const auto end_of = [&](int32_t epoch) {
    protocol::OffsetForLeaderEpochRequest::OffsetForLeaderPartition partition;
    partition.leader_epoch = epoch;
    protocol::OffsetForLeaderEpochRequest::OffsetForLeaderTopic topic;
    topic.topic = "t";
    topic.partitions = {&partition, 1};
    protocol::OffsetForLeaderEpochRequest request;
    request.topics = {&topic, 1};
    const auto answer = call<protocol::OffsetForLeaderEpochResponse>(4, request);
    return std::pair(answer->topics[0].partitions[0].leader_epoch, answer->topics[0].partitions[0].end_offset);
  };
  // Epoch 0 from offset 0, 1 from 3, 2 from 7.
  produce("t", 0, {"a", "b", "c"});
  restart(true);
  produce("t", 0, {"d", "e", "f", "g"});
  restart(true);
  produce("t", 0, {"h"});
  EXPECT_EQ(end_of(0), (std::pair(0, int64_t{3})));
  for (const int64_t start : {2, 3, 6, 7}) {
    protocol::DeleteRecordsRequest::DeleteRecordsPartition partition;
    partition.offset = start;
    protocol::DeleteRecordsRequest::DeleteRecordsTopic topic;
    topic.name = "t";
    topic.partitions = {&partition, 1};
    protocol::DeleteRecordsRequest request;
    request.topics = {&topic, 1};
    EXPECT_EQ(call<protocol::DeleteRecordsResponse>(2, request)->topics[0].partitions[0].low_watermark, start);
    EXPECT_EQ(end_of(0), (std::pair(0, std::max<int64_t>(start, 3)))) << start;
    EXPECT_EQ(end_of(1), (std::pair(1, int64_t{7}))) << start;
    EXPECT_EQ(end_of(2), (std::pair(2, int64_t{8}))) << start;
  }
}

}  // namespace
}  // namespace weir::broker
