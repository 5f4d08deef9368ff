#include "broker/handlers/offset_for_leader_epoch.h"

#include <utility>
#include <vector>

#include "broker/requests/partition_at_home.h"
#include "broker/requests/sharded_operation.h"
#include "broker/requests/topic_resolver.h"
#include "protocol/messages/offset_for_leader_epoch.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;
using protocol::OffsetForLeaderEpochRequest;
using protocol::OffsetForLeaderEpochResponse;

struct EpochItem {
  storage::PartitionId id;
  const OffsetForLeaderEpochRequest::OffsetForLeaderPartition* asked = nullptr;
  OffsetForLeaderEpochResponse::EpochEndOffset* result = nullptr;
  ErrorCode error{};
  storage::EpochStart end{-1, -1};
};

class OffsetForLeaderEpochOperation final : public ShardedOperation<EpochItem> {
 public:
  OffsetForLeaderEpochOperation(Broker& broker, RequestContextPtr context) : ShardedOperation(broker, std::move(context)) {}

  void start() {
    if (!context_->decode(request_)) return;
    protocol::Arena& arena = context_->arena();
    size_t count = 0;
    for (const auto& topic : request_.topics) count += topic.partitions.size();
    items_.reserve(count);
    const TopicResolver topics(*context_, *home().image);
    response_.topics = arena.array<OffsetForLeaderEpochResponse::OffsetForLeaderTopicResult>(request_.topics.size());
    for (size_t t = 0; t < request_.topics.size(); ++t) {
      const auto& asked = request_.topics[t];
      response_.topics[t].topic = asked.topic;
      response_.topics[t].partitions = arena.array<OffsetForLeaderEpochResponse::EpochEndOffset>(asked.partitions.size());
      const ResolvedTopic topic = topics.find(asked.topic);
      for (size_t p = 0; p < asked.partitions.size(); ++p) {
        auto& result = response_.topics[t].partitions[p];
        result.partition = asked.partitions[p].partition;
        if (const ErrorCode error = topic.error_of_led(result.partition); error != ErrorCode::kNone) {
          result.error_code = code(error);
        } else {
          items_.push_back({topic->partition(result.partition), &asked.partitions[p], &result, ErrorCode::kNone, {-1, -1}});
        }
      }
    }
    assign(items_);
    start_round();
  }

 private:
  // On the owning shard.
  void run(Part& part) override {
    for (EpochItem* item : part.items) {
      const storage::Partition* partition = serving_partition(*part.shard, item->id, item->error);
      if (partition != nullptr) item->error = leader_epoch_error(*partition, item->asked->current_leader_epoch);
      if (item->error == ErrorCode::kNone) item->end = partition->epoch_end(item->asked->leader_epoch);
      item_done(part);
    }
  }

  void complete() override {
    for (EpochItem& item : items_) {
      item.result->error_code = code(item.error);
      item.result->leader_epoch = item.end.epoch;
      item.result->end_offset = item.end.start_offset;
    }
    context_->respond(response_);
    context_.reset();
  }

  OffsetForLeaderEpochRequest request_;
  OffsetForLeaderEpochResponse response_;
  std::vector<EpochItem> items_;
};

}  // namespace

void handle_offset_for_leader_epoch(Broker& broker, RequestContextPtr context) {
  runtime::make_homebound<OffsetForLeaderEpochOperation>(broker, std::move(context))->start();
}

}  // namespace weir::broker
