#include "broker/handlers/produce.h"

#include <fmt/core.h>

#include <string>
#include <utility>
#include <vector>

#include "broker/coordinators/verification.h"
#include "broker/requests/repeated_partitions.h"
#include "broker/requests/sharded_operation.h"
#include "broker/requests/topic_resolver.h"
#include "protocol/messages/produce.h"
#include "protocol/record_batch.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;
using protocol::ProduceRequest;
using protocol::ProduceResponse;
using PartitionResponse = ProduceResponse::PartitionProduceResponse;

constexpr int16_t kFirstVersionWithZstd = 7;
constexpr TopicNaming kNaming{.ids_from = 13};

// Kafka does not for refusals that it makes before it looks at a log, and for those of a log that it cannot read.
bool tells_log_start(ErrorCode refusal) {
  switch (refusal) {
    case ErrorCode::kUnknownTopicOrPartition:
    case ErrorCode::kUnknownTopicId:
    case ErrorCode::kNotLeaderOrFollower:
    case ErrorCode::kMessageTooLarge:
    case ErrorCode::kRecordListTooLarge:
    case ErrorCode::kCorruptMessage:
    case ErrorCode::kKafkaStorageError:
    case ErrorCode::kNotEnoughReplicas:
    case ErrorCode::kConcurrentTransactions:
    case ErrorCode::kInvalidProducerIdMapping:
    case ErrorCode::kTransactionAbortable:
      return false;
    default:
      return true;
  }
}

struct ProduceItem {
  storage::PartitionId id;
  Bytes records;
  const protocol::BatchHeader* header = nullptr;
  PartitionResponse* response = nullptr;
  storage::AppendResult result;
};

class ProduceOperation final : public ShardedOperation<ProduceItem> {
 public:
  ProduceOperation(Coordinators& coordinators, RequestContextPtr context)
      : ShardedOperation(coordinators.broker, std::move(context)), coordinators_(coordinators) {}

  void start() {
    if (!context_->decode(request_)) return;
    frame_ = context_->frame().owner;
    read_headers();
    const std::string_view refused = refuse_all();
    prepare(refused);
    if (transactional_) find_producer();
    assign(items_);
    start_round();
  }

 private:
  // Records without a header that can be read are left to the log, which refuses them.
  void read_headers() {
    size_t partitions = 0;
    for (const auto& topic : request_.topic_data) partitions += topic.partition_data.size();
    headers_ = context_->arena().array<protocol::BatchHeader>(partitions);
    size_t next = 0;
    for (const auto& topic : request_.topic_data) {
      for (const auto& partition : topic.partition_data) {
        protocol::BatchHeader& header = headers_[next++];
        protocol::peek_batch(partition.records.data, header);
        transactional_ = transactional_ || header.transactional();
      }
    }
  }

  // Sets refused_ to the error of every partition of the request, and returns its text.
  std::string_view refuse_all() {
    if (transactional_) {
      const auto& id = request_.transactional_id;
      if (!id || !context_->may({security::ResourceType::kTransactionalId, *id})) {
        refused_ = ErrorCode::kTransactionalIdAuthorizationFailed;
        return {};
      }
    }
    if (request_.acks >= -1 && request_.acks <= 1) return {};
    refused_ = ErrorCode::kInvalidRequiredAcks;
    return "acks must be -1, 0 or 1";
  }

  // Lays out the response in the request's order. Makes an item of every partition that takes records.
  void prepare(std::string_view refused) {
    protocol::Arena& arena = context_->arena();
    const TopicResolver topics_of(*context_, *home().image, kNaming);
    items_.reserve(headers_.size());
    RepeatedPartitions repeated(headers_.size());
    for (const auto& topic : request_.topic_data) {
      for (const auto& partition : topic.partition_data) repeated.mention(topic.topic_id, topic.name, partition.index);
    }
    repeated.all_mentioned();

    response_.responses = arena.array<ProduceResponse::TopicProduceResponse>(request_.topic_data.size());
    size_t topics = 0, mention = 0;
    for (const auto& asked : request_.topic_data) {
      auto& answer = response_.responses[topics];
      answer.name = asked.name;
      answer.topic_id = asked.topic_id;
      answer.partition_responses = arena.array<PartitionResponse>(asked.partition_data.size());
      const ResolvedTopic topic = topics_of.find(asked.name, asked.topic_id);
      size_t answered = 0;
      for (const auto& data : asked.partition_data) {
        const protocol::BatchHeader& header = headers_[mention];
        if (repeated.superseded(mention++)) continue;
        PartitionResponse& response = answer.partition_responses[answered++];
        response.index = data.index;
        refuse(response, ErrorCode::kNone, {});
        if (refused_ != ErrorCode::kNone) refuse(response, refused_, refused);
        else prepare_partition(topic, data, header, response);
      }
      answer.partition_responses = answer.partition_responses.first(answered);
      if (answered > 0) ++topics;
    }
    response_.responses = response_.responses.first(topics);
  }

  void prepare_partition(const ResolvedTopic& topic, const ProduceRequest::PartitionProduceData& asked,
                         const protocol::BatchHeader& header, PartitionResponse& response) {
    if (const ErrorCode error = topic.error_of_led(asked.index); error != ErrorCode::kNone) return refuse(response, error, {});
    if (topic->internal && context_->client_id() != "__admin_client") {
      return refuse(response, ErrorCode::kInvalidTopicException, "Cannot append to an internal topic");
    }
    if (asked.records.null) return refuse(response, ErrorCode::kInvalidRecord, "The request holds no record batch");
    if (context_->version() < kFirstVersionWithZstd && header.compression() == protocol::CompressionType::kZstd) {
      return refuse(response, ErrorCode::kUnsupportedCompressionType,
                    "Produce requests below version 7 cannot hold batches compressed with zstd; use a newer client or another "
                    "compression type");
    }
    items_.push_back({topic->partition(asked.index), asked.records.data, &header, &response, {}});
  }

  static bool in_transaction(const ProduceItem& item) { return item.header->transactional() && item.header->has_producer_id(); }

  // The one whose transactional batches the request holds. If there are two, all of the request is refused.
  void find_producer() {
    version_ = context_->version();
    for (const ProduceItem& item : items_) {
      if (!in_transaction(item)) continue;
      const protocol::BatchHeader& header = *item.header;
      if (producer_id_ == storage::kNoProducerId) {
        producer_id_ = header.producer_id;
        producer_epoch_ = header.producer_epoch;
      } else if (header.producer_id != producer_id_ || header.producer_epoch != producer_epoch_) {
        items_.clear();
        for (auto& topic : response_.responses) {
          for (PartitionResponse& partition : topic.partition_responses) {
            refuse(partition, ErrorCode::kInvalidProducerIdMapping, "Transactional records contained more than one producer ID");
          }
        }
        return;
      }
    }
  }

  void refuse(PartitionResponse& response, ErrorCode error, std::string_view message) {
    failed_ = failed_ || error != ErrorCode::kNone;
    response.error_code = code(error);
    response.base_offset = -1;
    response.log_append_time_ms = -1;
    response.log_start_offset = -1;
    if (!message.empty()) response.error_message = message;
  }

  // On the owning shard.
  void run(Part& part) override {
    if (producer_id_ != storage::kNoProducerId) return run_in_transaction(part);
    for (ProduceItem* item : part.items) {
      if (storage::Partition* partition = find(part, *item)) append(part, *item, *partition, {});
    }
  }

  void run_in_transaction(Part& part) {
    VerificationQuestion question(VerifiedRequest::produce(version_), *request_.transactional_id, producer_id_, producer_epoch_);
    for (ProduceItem* item : part.items) {
      storage::Partition* partition = find(part, *item);
      if (partition == nullptr) continue;
      storage::AppendOptions options;
      if (in_transaction(*item)) options.guard = question.guard(*part.shard, *partition, item->header->base_sequence);
      append(part, *item, *partition, options);
    }
    question.ask(coordinators_, *part.shard);
  }

  storage::Partition* find(Part& part, ProduceItem& item) {
    storage::Partition* partition = part.shard->log.find(item.id);
    if (partition == nullptr) {
      item.result.error = ErrorCode::kUnknownTopicOrPartition;
      item_done(part);
    }
    return partition;
  }

  void append(Part& part, ProduceItem& item, storage::Partition& partition, const storage::AppendOptions& options) {
    part.shard->log.append(
        partition, Slice{frame_, item.records.data(), item.records.size()}, true,
        [self = runtime::HomeRef(this), this, &item, &part](storage::AppendResult result) {
          item.result = std::move(result);
          item_done(part);
        },
        options);
  }

  void complete() override {
    RequestContextPtr context = std::move(context_);
    for (const ProduceItem& item : items_) home().traffic.produced(item.id.topic, item.result.error, item.records.size());
    for (ProduceItem& item : items_) fill(*item.response, item.result, context->arena());
    frame_ = Buffer();
    if (request_.acks != 0) return context->respond(response_);
    if (failed_) context->close("a produce request with acks=0 failed: the client has no other way to learn of it");
    else context->no_response();
  }

  void fill(PartitionResponse& response, const storage::AppendResult& result, protocol::Arena& arena) {
    if (result.error != ErrorCode::kNone) {
      refuse(response, result.error, result.message);
      if (tells_log_start(result.error)) response.log_start_offset = result.log_start_offset;
      response.record_errors = arena.array<ProduceResponse::BatchIndexAndErrorMessage>(result.record_errors.size());
      for (size_t i = 0; i < response.record_errors.size(); ++i) {
        response.record_errors[i].batch_index = result.record_errors[i].index;
        response.record_errors[i].batch_index_error_message = result.record_errors[i].message;
      }
      return;
    }
    response.base_offset = result.base_offset;
    response.log_append_time_ms = result.log_append_time_ms;
    response.log_start_offset = result.log_start_offset;
  }

  Coordinators& coordinators_;
  ProduceRequest request_;
  ProduceResponse response_;
  Buffer frame_;                              // keeps large batches alive for the log
  std::span<protocol::BatchHeader> headers_;  // of all partitions, in the request's order
  std::vector<ProduceItem> items_;
  ErrorCode refused_ = ErrorCode::kNone;
  bool failed_ = false;
  bool transactional_ = false;  // some batch is
  // Of the transactional batches, if the request has some that are to be appended.
  int64_t producer_id_ = storage::kNoProducerId;
  int16_t producer_epoch_ = -1;
  int16_t version_ = 0;
};

}  // namespace

void handle_produce(Coordinators& coordinators, RequestContextPtr context) {
  runtime::make_homebound<ProduceOperation>(coordinators, std::move(context))->start();
}

}  // namespace weir::broker
