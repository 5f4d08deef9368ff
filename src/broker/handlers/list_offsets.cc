#include "broker/handlers/list_offsets.h"

#include <atomic>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "broker/requests/partition_at_home.h"
#include "broker/requests/sharded_operation.h"
#include "broker/requests/topic_resolver.h"
#include "protocol/messages/list_offsets.h"
#include "storage/kafka_error.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;
using protocol::ListOffsetsRequest;
using protocol::ListOffsetsResponse;
using PartitionResponse = ListOffsetsResponse::ListOffsetsPartitionResponse;

constexpr int64_t kLatest = -1;
constexpr int64_t kEarliest = -2;
constexpr int64_t kMaxTimestamp = -3;
constexpr int64_t kEarliestLocal = -4;
constexpr int64_t kLatestTiered = -5;
constexpr int64_t kEarliestPendingUpload = -6;

// The first version that understands a special timestamp. 0 for real timestamps. Above all versions for unknown ones.
int16_t version_of(int64_t timestamp) {
  switch (timestamp) {
    case kLatest:
    case kEarliest:
      return 0;
    case kMaxTimestamp:
      return 7;
    case kEarliestLocal:
      return 8;
    case kLatestTiered:
      return 9;
    case kEarliestPendingUpload:
      return 11;
    default:
      return timestamp >= 0 ? int16_t{0} : INT16_MAX;
  }
}

struct OffsetItem {
  storage::PartitionId id;
  int64_t timestamp = 0;
  int32_t leader_epoch = -1;
  PartitionResponse* response = nullptr;
  ErrorCode error{};
  storage::TimestampPosition found;
};

class ListOffsetsOperation final : public ShardedOperation<OffsetItem> {
 public:
  ListOffsetsOperation(Broker& broker, RequestContextPtr context) : ShardedOperation(broker, std::move(context)) {}

  void start() {
    if (!context_->decode(request_)) return;
    closed_ = context_->connection_closed_flag();
    prepare();
    assign(items_);
    start_round();
  }

 private:
  void prepare() {
    protocol::Arena& arena = context_->arena();
    size_t count = 0;
    std::map<std::pair<std::string_view, int32_t>, int> times;
    for (const auto& topic : request_.topics) {
      count += topic.partitions.size();
      for (const auto& partition : topic.partitions) ++times[{topic.name, partition.partition_index}];
    }
    items_.reserve(count);
    const TopicResolver topics(*context_, *home().image);
    response_.topics = arena.array<ListOffsetsResponse::ListOffsetsTopicResponse>(request_.topics.size());
    size_t topic_count = 0;
    for (const auto& asked : request_.topics) {
      size_t answered = 0;
      auto& answer = response_.topics[topic_count];
      answer.name = asked.name;
      answer.partitions = arena.array<PartitionResponse>(asked.partitions.size());
      const ResolvedTopic topic = topics.find(asked.name);
      for (const auto& partition : asked.partitions) {
        int& mentions = times[{asked.name, partition.partition_index}];
        if (mentions == 0) continue;  // it was answered where it was named first
        PartitionResponse& response = answer.partitions[answered++];
        response.partition_index = partition.partition_index;
        response.timestamp = -1;
        response.offset = -1;
        response.leader_epoch = -1;
        if (mentions > 1) {
          response.error_code = code(ErrorCode::kInvalidRequest);
          mentions = 0;
        } else if (context_->version() < version_of(partition.timestamp)) {
          response.error_code = code(ErrorCode::kUnsupportedVersion);
        } else if (const ErrorCode error = topic.error_of_led(partition.partition_index); error != ErrorCode::kNone) {
          response.error_code = code(error);
        } else {
          items_.push_back({topic->partition(partition.partition_index),
                            partition.timestamp,
                            partition.current_leader_epoch,
                            &response,
                            ErrorCode::kNone,
                            {}});
        }
      }
      answer.partitions = answer.partitions.first(answered);
      if (answered > 0 || asked.partitions.empty()) ++topic_count;
    }
    response_.topics = response_.topics.first(topic_count);
  }

  // On the owning shard.
  void run(Part& part) override {
    for (OffsetItem* item : part.items) look_up(part, *item);
  }

  void look_up(Part& part, OffsetItem& item) {
    storage::Partition* partition = part.shard->log.find(item.id);
    if (partition == nullptr) item.error = ErrorCode::kUnknownTopicOrPartition;
    else item.error = leader_epoch_error(*partition, item.leader_epoch);
    if (item.error == ErrorCode::kNone && partition->offline()) item.error = ErrorCode::kKafkaStorageError;
    if (item.error != ErrorCode::kNone) return item_done(part);
    switch (item.timestamp) {
      case kLatest:
        item.found.offset = request_.isolation_level == 1 ? partition->last_stable_offset() : partition->high_watermark();
        item.found.leader_epoch = partition->leader_epoch();
        return item_done(part);
      case kEarliest:
      case kEarliestLocal:
        item.found.offset = partition->log_start_offset();
        // An empty log has no history. Its first epoch is the present one.
        item.found.leader_epoch =
            partition->epochs().empty() ? partition->leader_epoch() : partition->epoch_at(item.found.offset);
        return item_done(part);
      case kLatestTiered:
      case kEarliestPendingUpload:
        return item_done(part);
      default:
        break;
    }
    part.shard->log.find_timestamp(
        *partition, item.timestamp, request_.isolation_level == 1,
        [self = runtime::HomeRef(this), this, &part, &item](Result<storage::TimestampPosition> found) {
          if (found) item.found = *found;
          else item.error = storage::kafka_error(found.error());
          item_done(part);
        },
        [closed = closed_] { return !closed->load(std::memory_order_relaxed); });
  }

  void complete() override {
    for (OffsetItem& item : items_) {
      item.response->error_code = code(item.error);
      if (item.error != ErrorCode::kNone) continue;
      item.response->offset = item.found.offset;
      if (item.found.offset >= 0) item.response->timestamp = item.found.timestamp;
      if (context_->version() >= 4) item.response->leader_epoch = item.found.leader_epoch;
    }
    context_->respond(response_);
    context_.reset();
  }

  ListOffsetsRequest request_;
  ListOffsetsResponse response_;
  std::vector<OffsetItem> items_;
  std::shared_ptr<const std::atomic<bool>> closed_;  // the connection is
};

}  // namespace

void handle_list_offsets(Broker& broker, RequestContextPtr context) {
  runtime::make_homebound<ListOffsetsOperation>(broker, std::move(context))->start();
}

}  // namespace weir::broker
