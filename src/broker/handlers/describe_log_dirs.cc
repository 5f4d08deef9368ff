#include "broker/handlers/describe_log_dirs.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/requests/sharded_operation.h"
#include "broker/requests/topic_resolver.h"
#include "protocol/errors.h"
#include "protocol/messages/describe_log_dirs.h"
#include "storage/kafka_error.h"

namespace weir::broker {
namespace {

using protocol::DescribeLogDirsRequest;
using protocol::DescribeLogDirsResponse;

struct SizeItem {
  storage::PartitionId id;
  const Topic* topic = nullptr;
  std::vector<storage::LogShard::Replica> replicas;
};

// Of a log directory, as in LogDirectories::all().
struct DiskSpace {
  Result<uint64_t> free = uint64_t{0};
  Result<uint64_t> total = uint64_t{0};
};

class DescribeLogDirsOperation final : public ShardedOperation<SizeItem> {
 public:
  DescribeLogDirsOperation(Broker& broker, RequestContextPtr context) : ShardedOperation(broker, std::move(context)) {}

  void start() {
    if (!context_->decode(request_)) return;
    image_ = home().image;
    constexpr uint64_t kPartitionBytes = 300;  // of item, structure and bytes
    if (!request_.topics) {
      const uint64_t bytes = kPartitionBytes * static_cast<uint64_t>(image_->partition_count());
      if (!context_->reserve(std::min(bytes, context_->most_answer_bytes()))) return;
      items_.reserve(static_cast<size_t>(image_->partition_count()));
      for (const TopicPtr& topic : image_->sorted_by_name()) {
        for (int32_t i = 0; i < topic->partition_count(); ++i) items_.push_back({topic->partition(i), topic.get(), {}});
      }
    } else {
      const TopicResolver topics(*context_, *image_);
      for (const auto& asked : *request_.topics) {
        const ResolvedTopic topic = topics.find(asked.topic);
        std::vector<int32_t> indexes(asked.partitions.begin(), asked.partitions.end());
        std::sort(indexes.begin(), indexes.end());
        indexes.erase(std::unique(indexes.begin(), indexes.end()), indexes.end());
        for (const int32_t index : indexes) {
          if (topic.error_of(index) == protocol::ErrorCode::kNone) items_.push_back({topic->partition(index), topic.topic, {}});
        }
      }
    }
    assign(items_);
    start_round();
  }

 private:
  // On the owning shard.
  void run(Part& part) override {
    for (SizeItem* item : part.items) {
      const storage::Partition* partition = part.shard->log.find(item->id);
      if (partition != nullptr) item->replicas = storage::LogShard::replicas(*partition);
      item_done(part);
    }
  }

  void complete() override {
    const runtime::Runtime& runtime = broker_.runtime();
    const auto& directories = broker_.log_directories().all();
    auto space = std::make_shared<std::vector<DiskSpace>>(directories.size());
    runtime.pool->submit(
        [&files = *runtime.files, &directories, space] {
          for (size_t i = 0; i < directories.size(); ++i) {
            (*space)[i].free = files.free_bytes(directories[i].path);
            (*space)[i].total = files.total_bytes(directories[i].path);
          }
        },
        home().loop, [self = runtime::HomeRef(this), this, &directories, space] { respond(directories, *space); });
  }

  void respond(const std::vector<storage::LogDirectories::Directory>& directories, const std::vector<DiskSpace>& space) {
    DescribeLogDirsResponse response;
    response.results = context_->arena().array<DescribeLogDirsResponse::DescribeLogDirsResult>(directories.size());
    std::vector<std::vector<DescribeLogDirsResponse::DescribeLogDirsTopic>> topics(directories.size());
    for (size_t d = 0; d < directories.size(); ++d) {
      auto& dir = response.results[d];
      dir.log_dir = directories[d].path;
      // A disk that does not even tell this is failing.
      if (space[d].free) dir.usable_bytes = static_cast<int64_t>(*space[d].free);
      else dir.error_code = code(storage::kafka_error(space[d].free.error()));
      if (space[d].total) dir.total_bytes = static_cast<int64_t>(*space[d].total);
      topics[d] = topics_in(directories[d].number);
      dir.topics = topics[d];
    }
    context_->respond(response);
    context_.reset();
  }

  std::vector<DescribeLogDirsResponse::DescribeLogDirsTopic> topics_in(uint32_t directory) {
    std::vector<DescribeLogDirsResponse::DescribeLogDirsTopic> topics;
    for (size_t begin = 0; begin < items_.size();) {
      std::vector<DescribeLogDirsResponse::DescribeLogDirsPartition> partitions;
      size_t end = begin;
      for (; end < items_.size() && items_[end].topic == items_[begin].topic; ++end) {
        for (const auto& replica : items_[end].replicas) {
          if (replica.directory != directory) continue;
          auto& partition = partitions.emplace_back();
          partition.partition_index = items_[end].id.index;
          partition.partition_size = static_cast<int64_t>(replica.bytes);
          partition.offset_lag = replica.offset_lag;
          partition.is_future_key = replica.future;
        }
      }
      if (!partitions.empty()) {
        auto& topic = topics.emplace_back();
        topic.name = items_[begin].topic->name();
        topic.partitions = context_->arena().array<DescribeLogDirsResponse::DescribeLogDirsPartition>(partitions.size());
        std::copy(partitions.begin(), partitions.end(), topic.partitions.begin());
      }
      begin = end;
    }
    return topics;
  }

  DescribeLogDirsRequest request_;
  MetadataImagePtr image_;  // keeps the topics of items_
  std::vector<SizeItem> items_;
};

}  // namespace

void handle_describe_log_dirs(Broker& broker, RequestContextPtr context) {
  runtime::make_homebound<DescribeLogDirsOperation>(broker, std::move(context))->start();
}

}  // namespace weir::broker
