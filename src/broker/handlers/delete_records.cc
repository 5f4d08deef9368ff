#include "broker/handlers/delete_records.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "broker/requests/partition_at_home.h"
#include "broker/requests/repeated_partitions.h"
#include "broker/requests/sharded_operation.h"
#include "broker/requests/topic_resolver.h"
#include "protocol/messages/delete_records.h"
#include "storage/kafka_error.h"

namespace weir::broker {
namespace {

using protocol::DeleteRecordsRequest;
using protocol::DeleteRecordsResponse;
using ProtocolError = protocol::ErrorCode;
using PartitionResult = DeleteRecordsResponse::DeleteRecordsPartitionResult;

struct DeleteItem {
  storage::PartitionId id;
  int64_t offset = 0;
  PartitionResult* result = nullptr;
  ProtocolError error{};
  int64_t low_watermark = -1;
};

class DeleteRecordsOperation final : public ShardedOperation<DeleteItem> {
 public:
  DeleteRecordsOperation(Broker& broker, RequestContextPtr context) : ShardedOperation(broker, std::move(context)) {}

  void start() {
    if (!context_->decode(request_)) return;
    prepare();
    assign(items_);
    start_round();
  }

 private:
  void prepare() {
    protocol::Arena& arena = context_->arena();
    size_t count = 0;
    for (const auto& topic : request_.topics) count += topic.partitions.size();
    items_.reserve(count);
    RepeatedPartitions repeated(count);
    const Uuid no_id;
    for (const auto& topic : request_.topics) {
      for (const auto& partition : topic.partitions) repeated.mention(no_id, topic.name, partition.partition_index);
    }
    repeated.all_mentioned();
    const TopicResolver topics_of(*context_, *home().image);
    response_.topics = arena.array<DeleteRecordsResponse::DeleteRecordsTopicResult>(request_.topics.size());
    size_t topics = 0, mention = 0;
    for (const auto& asked : request_.topics) {
      auto& answer = response_.topics[topics];
      answer.name = asked.name;
      answer.partitions = arena.array<PartitionResult>(asked.partitions.size());
      const ResolvedTopic topic = topics_of.find(asked.name);
      size_t answered = 0;
      for (const auto& partition : asked.partitions) {
        if (!repeated.superseded(mention++)) prepare_partition(topic, partition, answer.partitions[answered++]);
      }
      answer.partitions = answer.partitions.first(answered);
      if (answered > 0 || asked.partitions.empty()) ++topics;
    }
    response_.topics = response_.topics.first(topics);
  }

  void prepare_partition(const ResolvedTopic& topic, const DeleteRecordsRequest::DeleteRecordsPartition& partition,
                         PartitionResult& result) {
    result.partition_index = partition.partition_index;
    result.low_watermark = -1;
    if (const ProtocolError error = topic.error_of_led(partition.partition_index); error != ProtocolError::kNone) {
      result.error_code = code(error);
    } else if (topic->internal) {
      result.error_code = code(ProtocolError::kInvalidTopicException);
    } else if (!topic->log_config.cleanup_delete) {
      result.error_code = code(ProtocolError::kPolicyViolation);  // records of compacted topics are not deleted so
    } else {
      items_.push_back({topic->partition(partition.partition_index), partition.offset, &result, ProtocolError::kNone, -1});
    }
  }

  // On the owning shard.
  void run(Part& part) override {
    for (DeleteItem* item : part.items) {
      storage::Partition* partition = serving_partition(*part.shard, item->id, item->error);
      if (partition != nullptr && item->offset < -1) item->error = ProtocolError::kOffsetOutOfRange;
      if (item->error != ProtocolError::kNone) {
        item_done(part);
        continue;
      }
      part.shard->log.delete_records(*partition, item->offset,
                                     [self = runtime::HomeRef(this), this, item, &part](Result<int64_t> moved) {
                                       if (moved) item->low_watermark = *moved;
                                       else item->error = storage::kafka_error(moved.error(), ProtocolError::kOffsetOutOfRange);
                                       item_done(part);
                                     });
    }
  }

  void complete() override {
    for (DeleteItem& item : items_) {
      if (item.error == ProtocolError::kNone) tell(item);
      item.result->error_code = code(item.error);
      item.result->low_watermark = item.low_watermark;
    }
    context_->respond(response_);
    context_.reset();
  }

  void tell(const DeleteItem& item) {
    const Topic* topic = home().image->find(item.id.topic);
    tell_change(home(), *context_,
                fmt::format("Records of {}-{} below offset {} deleted", topic ? topic->name() : "a deleted topic", item.id.index,
                            item.low_watermark));
  }

  DeleteRecordsRequest request_;
  DeleteRecordsResponse response_;
  std::vector<DeleteItem> items_;
};

}  // namespace

void handle_delete_records(Broker& broker, RequestContextPtr context) {
  runtime::make_homebound<DeleteRecordsOperation>(broker, std::move(context))->start();
}

}  // namespace weir::broker
