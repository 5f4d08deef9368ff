// Produce, ListOffsets and the metadata handlers as clients see them; Fetch has its own tests.
#include <gmock/gmock.h>

#include "base/log.h"
#include "broker/handlers/broker_fixture.h"
#include "protocol/compressed_batch_fixture.h"
#include "protocol/errors.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/delete_records.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/describe_cluster.h"
#include "protocol/messages/describe_topic_partitions.h"
#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/init_producer_id.h"
#include "protocol/messages/list_offsets.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/offset_for_leader_epoch.h"
#include "storage/log/offline_markers.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;
using ::testing::AllOf;
using ::testing::HasSubstr;

class HandlersTest : public BrokerTest {
 protected:
  Answer<protocol::MetadataResponse> metadata(const std::vector<std::string>& names, bool create = true, int16_t version = 13) {
    std::vector<protocol::MetadataRequest::MetadataRequestTopic> topics(names.size());
    for (size_t i = 0; i < names.size(); ++i) topics[i].name = names[i];
    protocol::MetadataRequest request;
    request.topics = std::span(topics);
    request.allow_auto_topic_creation = create;
    return call<protocol::MetadataResponse>(version, request);
  }
  protocol::ListOffsetsResponse::ListOffsetsPartitionResponse offset(const std::string& topic, int32_t partition,
                                                                     int64_t timestamp, int16_t version = 11) {
    protocol::ListOffsetsRequest::ListOffsetsPartition asked;
    asked.partition_index = partition;
    asked.timestamp = timestamp;
    protocol::ListOffsetsRequest::ListOffsetsTopic topics;
    topics.name = topic;
    topics.partitions = {&asked, 1};
    protocol::ListOffsetsRequest request;
    request.replica_id = -1;
    request.topics = {&topics, 1};
    return call<protocol::ListOffsetsResponse>(version, request)->topics[0].partitions[0];
  }
  int16_t create_error(protocol::CreateTopicsRequest::CreatableTopic topic, bool validate_only = false) {
    protocol::CreateTopicsRequest request;
    request.topics = {&topic, 1};
    request.validate_only = validate_only;
    return call<protocol::CreateTopicsResponse>(7, request)->topics[0].error_code;
  }
};

TEST_F(HandlersTest, MetadataCreatesAndAnswersInOne) {
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

TEST_F(HandlersTest, MetadataOfMissingTopics) {
  const auto answer = metadata({"absent", "bad/name", "__consumer_offsets"}, false);
  EXPECT_EQ(answer->topics[0].error_code, code(ErrorCode::kUnknownTopicOrPartition));
  EXPECT_EQ(answer->topics[1].error_code, code(ErrorCode::kInvalidTopicException));
  EXPECT_EQ(answer->topics[2].error_code, code(ErrorCode::kUnknownTopicOrPartition));
  EXPECT_TRUE(answer->topics[2].is_internal);
  EXPECT_EQ(metadata({"bad/name"})->topics[0].error_code, code(ErrorCode::kInvalidTopicException));
}

TEST_F(HandlersTest, MetadataByIdAndOfAll) {
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

TEST_F(HandlersTest, DamagedPartitionsHaveNoLeader) {
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

TEST_F(HandlersTest, CreateTopicsRefusals) {
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

// In memory they are for good, and whoever may create topics would fill it.
TEST_F(HandlersTest, PartitionsAreBoundedByTheMemory) {
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

TEST_F(HandlersTest, CreateTopicsDescribesWhatWasCreated) {
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

TEST_F(HandlersTest, TenThousandPartitions) {
  create_topic("wide", 10'000);
  const auto answer = metadata({"wide"});
  EXPECT_EQ(answer->topics[0].partitions.size(), 10'000u);
  EXPECT_EQ(produce("wide", 9'999, {"last"})->responses[0].partition_responses[0].error_code, 0);
}

TEST_F(HandlersTest, ProduceAnswersOffsetsFromEveryShard) {
  create_topic("t", 8);
  for (int32_t round = 0; round < 2; ++round) {
    for (int32_t p = 0; p < 8; ++p) {
      const auto answer = produce("t", p, {"a", "b", "c"});
      const auto& partition = answer->responses[0].partition_responses[0];
      EXPECT_EQ(partition.error_code, 0) << partition.error_message.value_or("");
      EXPECT_EQ(partition.base_offset, round * 3);
      EXPECT_EQ(partition.log_append_time_ms, -1);
      EXPECT_EQ(partition.log_start_offset, 0);
    }
  }
}

TEST_F(HandlersTest, ProduceManyPartitionsInOneRequestById) {
  const TopicId id = create_topic("t", 16);
  const auto records = batch({"x"});
  std::vector<protocol::ProduceRequest::PartitionProduceData> data(18);
  for (int32_t i = 0; i < 18; ++i) {
    data[static_cast<size_t>(i)].index = i;  // 16 and 17 do not exist
    data[static_cast<size_t>(i)].records.data = records;
  }
  protocol::ProduceRequest::TopicProduceData topics[2];
  topics[0].topic_id = id;
  topics[0].partition_data = data;
  topics[1].topic_id = Uuid::from_random(1, 1);
  topics[1].partition_data = {data.data(), 1};
  protocol::ProduceRequest request;
  request.acks = 1;
  request.topic_data = topics;
  const auto answer = call<protocol::ProduceResponse>(13, request);
  for (size_t i = 0; i < 16; ++i) EXPECT_EQ(answer->responses[0].partition_responses[i].error_code, 0) << i;
  EXPECT_EQ(answer->responses[0].partition_responses[17].error_code, code(ErrorCode::kUnknownTopicOrPartition));
  EXPECT_EQ(answer->responses[1].partition_responses[0].error_code, code(ErrorCode::kUnknownTopicId));
}

TEST_F(HandlersTest, ProduceRefusals) {
  create_topic("t", 1);
  create_topic("isr", 1, {{"min.insync.replicas", "2"}});
  create_topic("compacted", 1, {{"cleanup.policy", "compact"}});
  create_topic("__consumer_offsets", 1);
  const auto error = [&](const std::string& topic, Bytes records, int16_t acks = -1) {
    return static_cast<ErrorCode>(produce(peer(1), topic, 0, records, acks)->responses[0].partition_responses[0].error_code);
  };
  const auto good = batch({"v"});
  EXPECT_EQ(error("t", good, 2), ErrorCode::kInvalidRequiredAcks);
  EXPECT_EQ(error("absent", good), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(error("isr", good), ErrorCode::kNone) << "as many as there are is enough";
  EXPECT_EQ(error("isr", good, 1), ErrorCode::kNone);
  EXPECT_EQ(error("__consumer_offsets", good), ErrorCode::kInvalidTopicException);
  EXPECT_EQ(error("t", batch({"v"}, {.producer_id = 1, .producer_epoch = 0, .base_sequence = 0, .transactional = true})),
            ErrorCode::kTransactionalIdAuthorizationFailed);
  auto corrupt = good;
  auto old_format = good;
  for (const int magic : {0, 1}) {
    old_format[16] = static_cast<uint8_t>(magic);
    EXPECT_EQ(error("t", old_format), ErrorCode::kInvalidRecord) << magic;
  }
  old_format[16] = 3;
  EXPECT_EQ(error("t", old_format), ErrorCode::kCorruptMessage);
  const auto zstd = protocol::compressed_batch(good, protocol::CompressionType::kZstd);
  const auto with_version = [&](int16_t version) {
    return produce(peer(1), "isr", 0, zstd, -1, version)->responses[0].partition_responses[0].error_code;
  };
  EXPECT_EQ(with_version(6), code(ErrorCode::kUnsupportedCompressionType));
  EXPECT_EQ(with_version(7), 0);
  corrupt.back() ^= 1;
  EXPECT_EQ(error("t", corrupt), ErrorCode::kCorruptMessage);
  EXPECT_EQ(error("t", {}), ErrorCode::kInvalidRecord);
  protocol::RecordBatchBuilder keyless;
  keyless.append(5, std::nullopt, as_bytes("v"));
  const auto answer = produce(peer(1), "compacted", 0, keyless.finish());
  EXPECT_EQ(answer->responses[0].partition_responses[0].error_code, code(ErrorCode::kInvalidRecord));
  ASSERT_EQ(answer->responses[0].partition_responses[0].record_errors.size(), 1u);
  EXPECT_EQ(answer->responses[0].partition_responses[0].record_errors[0].batch_index, 0);
  EXPECT_EQ(offset("t", 0, -1).offset, 0);  // nothing of all that was appended
}

TEST_F(HandlersTest, ProduceWithoutAcks) {
  create_topic("t", 1);
  FakePeer& quiet = connect(2);
  const auto records = batch({"v"});
  protocol::ProduceRequest::PartitionProduceData data;
  data.records.data = records;
  protocol::ProduceRequest::TopicProduceData topic;
  topic.name = "t";
  topic.partition_data = {&data, 1};
  protocol::ProduceRequest request;
  request.acks = 0;
  request.topic_data = {&topic, 1};
  send(quiet, 9, request);
  run_until([&] {
    return broker_->shard(broker_->owner(broker_->shard(0).image->find("t")->partition(0)))
               .log.find(broker_->shard(0).image->find("t")->partition(0))
               ->high_watermark() == 1;
  });
  EXPECT_TRUE(quiet.received.empty());
  EXPECT_FALSE(quiet.closed);
  topic.name = "absent";
  send(quiet, 9, request);
  run_until([&] { return quiet.closed; });
}

TEST_F(HandlersTest, IdempotentProducer) {
  create_topic("t", 1);
  protocol::InitProducerIdRequest init;
  init.transactional_id = std::nullopt;
  const auto first = call<protocol::InitProducerIdResponse>(peer(0), 5, init);
  const auto second = call<protocol::InitProducerIdResponse>(peer(1), 5, init);
  EXPECT_EQ(first->error_code, 0);
  EXPECT_EQ(first->producer_epoch, 0);
  EXPECT_NE(first->producer_id, second->producer_id);
  const auto send_sequence = [&](int32_t sequence) {
    const auto answer = produce(
        peer(0), "t", 0, batch({"v"}, {.producer_id = first->producer_id, .producer_epoch = 0, .base_sequence = sequence}));
    const auto& partition = answer->responses[0].partition_responses[0];
    return std::pair(static_cast<ErrorCode>(partition.error_code), partition.base_offset);
  };
  EXPECT_EQ(send_sequence(0), std::pair(ErrorCode::kNone, int64_t{0}));
  EXPECT_EQ(send_sequence(1), std::pair(ErrorCode::kNone, int64_t{1}));
  EXPECT_EQ(send_sequence(0), std::pair(ErrorCode::kNone, int64_t{0}));  // a duplicate
  EXPECT_EQ(send_sequence(5).first, ErrorCode::kOutOfOrderSequenceNumber);
  init.transactional_id = "tx";
  EXPECT_EQ(call<protocol::InitProducerIdResponse>(5, init)->error_code, code(ErrorCode::kTransactionalIdAuthorizationFailed));
  init.transactional_id = std::nullopt;
  init.producer_id = 5;
  EXPECT_EQ(call<protocol::InitProducerIdResponse>(5, init)->error_code, code(ErrorCode::kInvalidRequest));
}

TEST_F(HandlersTest, ProducerIdsAreNeverGivenTwice) {
  protocol::InitProducerIdRequest init;
  init.transactional_id = std::nullopt;
  const int64_t before = call<protocol::InitProducerIdResponse>(4, init)->producer_id;
  faulty_.plan({storage::FaultyMetaStore::Fault::kUnknownDone, storage::FaultyMetaStore::Fault::kUnknownNotDone});
  const int64_t other_shard = call<protocol::InitProducerIdResponse>(peer(1), 4, init)->producer_id;
  restart(true);
  const int64_t after = call<protocol::InitProducerIdResponse>(4, init)->producer_id;
  EXPECT_LT(before, other_shard);
  EXPECT_LT(other_shard, after);
}

TEST_F(HandlersTest, ListOffsetsSpecials) {
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

TEST_F(HandlersTest, DeleteRecordsMovesTheStart) {
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

TEST_F(HandlersTest, DeleteAndRecreateTopic) {
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

TEST_F(HandlersTest, CreatePartitions) {
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

TEST_F(HandlersTest, MetadataTransactionsOfUnknownOutcome) {
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

TEST_F(HandlersTest, RestartKeepsDataAndRaisesEpochsAfterAnUncleanEnd) {
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

TEST_F(HandlersTest, AnEpochThatEndedBelowTheLogStartEndsThere) {
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

TEST_F(HandlersTest, APartitionNamedTwiceCountsAsItIsNamedLast) {
  create_topic("t", 2);
  produce("t", 1, {"a", "b", "c"});
  const std::vector<uint8_t> first = batch({"d", "e"}), last = batch({"f"});
  protocol::ProduceRequest::PartitionProduceData data[3];
  data[0].index = data[2].index = 1;
  data[0].records.data = first;
  data[1].records.data = first;
  data[2].records.data = last;
  protocol::ProduceRequest::TopicProduceData topics[2];
  topics[0].name = topics[1].name = "t";
  topics[0].partition_data = {data, 2};
  topics[1].partition_data = {data + 2, 1};
  protocol::ProduceRequest request;
  request.acks = -1;
  request.topic_data = topics;
  const auto answer = call<protocol::ProduceResponse>(12, request);
  ASSERT_EQ(answer->responses.size(), 2u);
  ASSERT_EQ(answer->responses[0].partition_responses.size(), 1u);
  EXPECT_EQ(answer->responses[0].partition_responses[0].index, 0);
  ASSERT_EQ(answer->responses[1].partition_responses.size(), 1u);
  EXPECT_EQ(answer->responses[1].partition_responses[0].base_offset, 3);
  EXPECT_EQ(offset("t", 1, -1).offset, 4);

  protocol::DeleteRecordsRequest::DeleteRecordsPartition partitions[2];
  partitions[0].partition_index = partitions[1].partition_index = 1;
  partitions[0].offset = 3;
  partitions[1].offset = 1;
  protocol::DeleteRecordsRequest::DeleteRecordsTopic topic;
  topic.name = "t";
  topic.partitions = partitions;
  protocol::DeleteRecordsRequest deletion;
  deletion.topics = {&topic, 1};
  const auto deleted = call<protocol::DeleteRecordsResponse>(2, deletion);
  ASSERT_EQ(deleted->topics[0].partitions.size(), 1u);
  EXPECT_EQ(deleted->topics[0].partitions[0].low_watermark, 1);
}

TEST_F(HandlersTest, DescribeTopicPartitionsPages) {
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

TEST_F(HandlersTest, ClusterAndCoordinators) {
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

TEST_F(HandlersTest, TransactionsAreRefusedWithTheReasonAndOneLineOfTheLog) {
  std::vector<std::string> lines;
  set_log_event_sink([&](LogLevel, std::string_view, const LogEvent& event) {
    lines.push_back(std::string(event.what) + ": " + std::string(event.reason));
  });
  protocol::FindCoordinatorRequest find;
  find.key = "orders-tx";
  find.key_type = 1;
  const auto old = call<protocol::FindCoordinatorResponse>(3, find);
  EXPECT_EQ(old->error_code, code(ErrorCode::kTransactionalIdAuthorizationFailed));
  EXPECT_EQ(old->node_id, -1);
  EXPECT_THAT(std::string(old->error_message.value_or("")), HasSubstr("does not serve transactions"));
  std::vector<std::string_view> keys = {"orders-tx"};
  find.key = {};
  find.coordinator_keys = keys;
  const auto answer = call<protocol::FindCoordinatorResponse>(6, find);
  ASSERT_EQ(answer->coordinators.size(), 1u);
  EXPECT_EQ(answer->coordinators[0].error_code, code(ErrorCode::kTransactionalIdAuthorizationFailed));
  EXPECT_THAT(std::string(answer->coordinators[0].error_message.value_or("")), HasSubstr("does not serve transactions"));
  protocol::InitProducerIdRequest init;
  init.transactional_id = "orders-tx";
  for (int i = 0; i < 20; ++i) call<protocol::InitProducerIdResponse>(5, init);
  set_log_event_sink({});
  ASSERT_EQ(lines.size(), 1u) << "one for each client";
  EXPECT_THAT(lines[0], AllOf(HasSubstr("'orders-tx'"), HasSubstr("does not serve transactions")));
}

}  // namespace
}  // namespace weir::broker
