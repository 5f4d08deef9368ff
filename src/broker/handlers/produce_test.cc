// Produce and InitProducerId as clients see them.
#include <gtest/gtest.h>

#include "broker/handlers/handlers_fixture.h"
#include "protocol/compressed_batch_fixture.h"
#include "protocol/messages/delete_records.h"
#include "protocol/messages/init_producer_id.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;

class ProduceTest : public HandlersTest {};

TEST_F(ProduceTest, ProduceAnswersOffsetsFromEveryShard) {
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

TEST_F(ProduceTest, ProduceManyPartitionsInOneRequestById) {
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

TEST_F(ProduceTest, ProduceRefusals) {
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

TEST_F(ProduceTest, ARefusalThatLookedAtTheLogTellsWhereItBegins) {
  create_topic("t", 1);
  produce("t", 0, {"a", "b", "c"});
  protocol::DeleteRecordsRequest::DeleteRecordsPartition partition;
  partition.offset = 2;
  protocol::DeleteRecordsRequest::DeleteRecordsTopic topic;
  topic.name = "t";
  topic.partitions = {&partition, 1};
  protocol::DeleteRecordsRequest remove;
  remove.topics = {&topic, 1};
  EXPECT_EQ(call<protocol::DeleteRecordsResponse>(2, remove)->topics[0].partitions[0].low_watermark, 2);
  const auto refusal = [&](std::string_view name, Bytes records) {
    const auto answer = produce(peer(1), std::string(name), 0, records);
    const auto& one = answer->responses[0].partition_responses[0];
    return std::pair(static_cast<ErrorCode>(one.error_code), one.log_start_offset);
  };
  EXPECT_EQ(refusal("t", batch({"v"}, {.base_offset = 3})), std::pair(ErrorCode::kInvalidRecord, int64_t{2}));
  const auto first = batch({"v"}, {.producer_id = 1, .producer_epoch = 0, .base_sequence = 0});
  EXPECT_EQ(refusal("t", first), std::pair(ErrorCode::kNone, int64_t{2}));
  const auto gap = batch({"v"}, {.producer_id = 1, .producer_epoch = 0, .base_sequence = 7});
  EXPECT_EQ(refusal("t", gap), std::pair(ErrorCode::kOutOfOrderSequenceNumber, int64_t{2}));
  // A compressed batch is looked into before it comes to the log.
  const auto wrong = protocol::compressed_batch(batch({"v"}, {}, -5), protocol::CompressionType::kGzip);
  EXPECT_EQ(refusal("t", wrong), std::pair(ErrorCode::kInvalidTimestamp, int64_t{2}));
  auto corrupt = batch({"v"});
  corrupt.back() ^= 1;
  EXPECT_EQ(refusal("t", corrupt), std::pair(ErrorCode::kCorruptMessage, int64_t{-1}));
  EXPECT_EQ(refusal("absent", first), std::pair(ErrorCode::kUnknownTopicOrPartition, int64_t{-1}));
}

TEST_F(ProduceTest, ProduceWithoutAcks) {
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

TEST_F(ProduceTest, IdempotentProducer) {
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
  init.producer_id = 5;
  EXPECT_EQ(call<protocol::InitProducerIdResponse>(5, init)->error_code, code(ErrorCode::kInvalidRequest));
}

TEST_F(ProduceTest, ProducerIdsAreNeverGivenTwice) {
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

TEST_F(ProduceTest, APartitionNamedTwiceCountsAsItIsNamedLast) {
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

}  // namespace
}  // namespace weir::broker
