// Creation, deletion and growth of topics as clients see them.
#include <gtest/gtest.h>

#include "broker/handlers/handlers_fixture.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/delete_topics.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;

class TopicHandlersTest : public HandlersTest {};

TEST_F(TopicHandlersTest, CreateTopicsRefusals) {
  create_topic("taken.name", 1);
  const auto topic = [](std::string_view name, int32_t partitions, int16_t replicas) {
    protocol::CreateTopicsRequest::CreatableTopic t;
    t.name = name;
    t.num_partitions = partitions;
    t.replication_factor = replicas;
    return t;
  };
  EXPECT_EQ(create_error(topic("taken.name", 1, 1)), code(ErrorCode::kTopicAlreadyExists));
  EXPECT_EQ(create_error(topic("taken_name", 1, 1)), code(ErrorCode::kInvalidTopicException));
  EXPECT_EQ(create_error(topic("taken_name", 1, 1), true), code(ErrorCode::kInvalidTopicException));
  EXPECT_EQ(create_error(topic("taken.name", 1, 1), true), code(ErrorCode::kTopicAlreadyExists));
  EXPECT_EQ(create_error(topic("..", 1, 1)), code(ErrorCode::kInvalidTopicException));
  EXPECT_EQ(create_error(topic("rf", 1, 3)), code(ErrorCode::kInvalidReplicationFactor));
  EXPECT_EQ(create_error(topic("rf", 1, 0)), code(ErrorCode::kInvalidReplicationFactor));
  EXPECT_EQ(create_error(topic("rf", 0, 1)), code(ErrorCode::kInvalidPartitions));
  EXPECT_EQ(create_error(topic("many", 10'001, 1)), code(ErrorCode::kPolicyViolation));
  EXPECT_EQ(create_error(topic("__cluster_metadata", 1, 1)), code(ErrorCode::kInvalidRequest));

  auto configured = topic("configured", 1, 1);
  protocol::CreateTopicsRequest::CreatableTopicConfig config;
  config.name = "no.such.config";
  config.value = "1";
  configured.configs = {&config, 1};
  EXPECT_EQ(create_error(configured), code(ErrorCode::kInvalidConfig));
  config.name = "retention.ms";
  config.value = "-2";
  EXPECT_EQ(create_error(configured), code(ErrorCode::kInvalidConfig));
  config.value = std::nullopt;
  EXPECT_EQ(create_error(configured), code(ErrorCode::kInvalidConfig));
  config.value = "-1";
  EXPECT_EQ(create_error(configured), 0);

  auto manual = topic("manual", -1, -1);
  std::vector<int32_t> brokers = {broker_->shard(0).image->self().id};
  protocol::CreateTopicsRequest::CreatableReplicaAssignment assignment;
  assignment.partition_index = 1;
  assignment.broker_ids = brokers;
  manual.assignments = {&assignment, 1};
  EXPECT_EQ(create_error(manual), code(ErrorCode::kInvalidReplicaAssignment));  // not from 0 on
  assignment.partition_index = 0;
  brokers[0] = 77;
  EXPECT_EQ(create_error(manual), code(ErrorCode::kInvalidReplicaAssignment));
  manual.num_partitions = 1;
  EXPECT_EQ(create_error(manual), code(ErrorCode::kInvalidRequest));
}

// Partitions stay in memory for good, so a client that may create topics could fill the memory.
TEST_F(TopicHandlersTest, PartitionsAreBoundedByTheMemory) {
  const auto most = static_cast<int32_t>(budget_.limit(MemoryShare::kRequests) / Controller::kEntryBytes);
  create_topic("first", 10'000);
  create_topic("second", most - 10'000);
  protocol::CreateTopicsRequest::CreatableTopic one;
  one.name = "third";
  one.num_partitions = one.replication_factor = 1;
  EXPECT_EQ(create_error(one), code(ErrorCode::kPolicyViolation));
  protocol::CreatePartitionsRequest::CreatePartitionsTopic more;
  more.name = "first";
  more.count = 10'001;
  more.assignments = std::nullopt;
  protocol::CreatePartitionsRequest grow;
  grow.topics = {&more, 1};
  grow.timeout_ms = 10'000;
  EXPECT_EQ(call<protocol::CreatePartitionsResponse>(0, grow)->results[0].error_code, code(ErrorCode::kPolicyViolation));
  grow.validate_only = true;
  EXPECT_EQ(call<protocol::CreatePartitionsResponse>(0, grow)->results[0].error_code, code(ErrorCode::kPolicyViolation));
  one.name = "__transaction_state";
  EXPECT_NE(create_error(one), 0);
  one.name = "third";
  std::string_view name = "first";
  protocol::DeleteTopicsRequest remove;
  remove.topic_names = {&name, 1};
  call<protocol::DeleteTopicsResponse>(5, remove);
  EXPECT_EQ(create_error(one), 0);
}

TEST_F(TopicHandlersTest, CreateTopicsDescribesWhatWasCreated) {
  protocol::CreateTopicsRequest::CreatableTopic topics[3];
  topics[0].name = "one";
  topics[0].num_partitions = -1;
  topics[0].replication_factor = -1;
  topics[1] = topics[2] = topics[0];
  topics[1].name = topics[2].name = "twice";
  protocol::CreateTopicsRequest request;
  request.topics = topics;
  request.validate_only = true;
  const auto validated = call<protocol::CreateTopicsResponse>(7, request);
  EXPECT_EQ(validated->topics[0].error_code, 0);
  EXPECT_EQ(validated->topics[0].num_partitions, 1);
  EXPECT_FALSE(validated->topics[0].topic_id.is_zero()) << "as in Kafka, one that it could have";
  EXPECT_EQ(metadata({"one"}, false)->topics[0].error_code, code(ErrorCode::kUnknownTopicOrPartition));
  request.validate_only = false;
  const auto answer = call<protocol::CreateTopicsResponse>(7, request);
  ASSERT_EQ(answer->topics.size(), 2u);
  EXPECT_EQ(answer->topics[0].error_message, std::nullopt);
  EXPECT_TRUE(answer->topics[1].configs.has_value()) << "empty, not null";
  EXPECT_EQ(answer->topics[1].num_partitions, -1);
  EXPECT_EQ(answer->topics[0].num_partitions, 1);
  EXPECT_EQ(answer->topics[0].replication_factor, 1);
  EXPECT_FALSE(answer->topics[0].topic_id.is_zero());
  EXPECT_GT(answer->topics[0].configs->size(), 25u);
  EXPECT_EQ(answer->topics[1].error_code, code(ErrorCode::kInvalidRequest));
}

TEST_F(TopicHandlersTest, TenThousandPartitions) {
  create_topic("wide", 10'000);
  const auto answer = metadata({"wide"});
  EXPECT_EQ(answer->topics[0].partitions.size(), 10'000u);
  EXPECT_EQ(produce("wide", 9'999, {"last"})->responses[0].partition_responses[0].error_code, 0);
}

TEST_F(TopicHandlersTest, DeleteAndRecreateTopic) {
  const TopicId first = create_topic("t", 2);
  produce("t", 1, {"old"});
  protocol::DeleteTopicsRequest request;
  protocol::DeleteTopicsRequest::DeleteTopicState states[4];
  states[0].name = "t";
  states[1].name = "absent";
  states[2].name = std::nullopt;
  states[2].topic_id = Uuid::from_random(4, 4);
  states[3].name = std::nullopt;
  request.topics = states;
  const auto answer = call<protocol::DeleteTopicsResponse>(6, request);
  std::map<std::string, int16_t> errors;
  for (const auto& result : answer->responses)
    errors[std::string(result.name.value_or("?")) + (result.topic_id.is_zero() ? "" : "+id")] = result.error_code;
  EXPECT_EQ(errors["t+id"], 0);
  EXPECT_EQ(errors["absent"], code(ErrorCode::kUnknownTopicOrPartition));
  EXPECT_EQ(errors["?+id"], code(ErrorCode::kUnknownTopicId));
  EXPECT_EQ(errors["?"], code(ErrorCode::kInvalidRequest));
  EXPECT_EQ(produce("t", 1, {"x"})->responses[0].partition_responses[0].error_code, code(ErrorCode::kUnknownTopicOrPartition));
  const TopicId second = create_topic("t", 2);
  EXPECT_NE(first, second);
  EXPECT_EQ(offset("t", 1, -1).offset, 0);
}

TEST_F(TopicHandlersTest, CreatePartitions) {
  create_topic("t", 2);
  const auto raise = [&](std::string_view name, int32_t count, bool validate = false) {
    protocol::CreatePartitionsRequest::CreatePartitionsTopic topic;
    topic.name = name;
    topic.count = count;
    topic.assignments = std::nullopt;
    protocol::CreatePartitionsRequest request;
    request.topics = {&topic, 1};
    request.validate_only = validate;
    return static_cast<ErrorCode>(call<protocol::CreatePartitionsResponse>(3, request)->results[0].error_code);
  };
  EXPECT_EQ(raise("t", 2), ErrorCode::kInvalidPartitions);
  EXPECT_EQ(raise("t", 1), ErrorCode::kInvalidPartitions);
  EXPECT_EQ(raise("absent", 3), ErrorCode::kUnknownTopicOrPartition);
  create_topic("__consumer_offsets", 2);
  EXPECT_EQ(raise("__consumer_offsets", 3), ErrorCode::kInvalidPartitions) << "half the groups would be looked for elsewhere";
  EXPECT_EQ(raise("t", 5, true), ErrorCode::kNone);
  EXPECT_EQ(metadata({"t"})->topics[0].partitions.size(), 2u);
  EXPECT_EQ(raise("t", 5), ErrorCode::kNone);
  EXPECT_EQ(produce("t", 4, {"x"})->responses[0].partition_responses[0].error_code, 0);
}

TEST_F(TopicHandlersTest, MetadataTransactionsOfUnknownOutcome) {
  using Fault = storage::FaultyMetaStore::Fault;
  faulty_.plan({Fault::kUnknownDone});
  create_topic("done", 1);
  faulty_.plan({Fault::kUnknownNotDone, Fault::kUnknownDone});
  create_topic("later", 1);
  faulty_.plan({Fault::kFailed});
  protocol::CreateTopicsRequest::CreatableTopic topic;
  topic.name = "failed";
  topic.num_partitions = 1;
  topic.replication_factor = 1;
  EXPECT_EQ(create_error(topic), code(ErrorCode::kKafkaStorageError));
  EXPECT_EQ(create_error(topic), 0);
  restart(false);
  EXPECT_EQ(broker_->shard(0).image->topic_count(), 3u);
}

}  // namespace
}  // namespace weir::broker
