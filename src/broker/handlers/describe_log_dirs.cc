#include "broker/handlers/describe_log_dirs.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/handlers/sharded_operation.h"
#include "protocol/messages/describe_log_dirs.h"

namespace weir::broker {
namespace {

using protocol::DescribeLogDirsRequest;
using protocol::DescribeLogDirsResponse;

struct SizeItem {
  storage::PartitionId id;
  TopicPtr topic;
  std::optional<uint64_t> bytes;
};

struct DiskSpace {
  Result<uint64_t> free = uint64_t{0};
  Result<uint64_t> total = uint64_t{0};
};

class DescribeLogDirsOperation final : public ShardedOperation<SizeItem> {
 public:
  DescribeLogDirsOperation(Broker& broker, RequestContextPtr context) : ShardedOperation(broker, std::move(context)) {}

  void start() {
    if (!context_->decode(request_)) return;
    const MetadataImage& image = *home().image;
    if (!request_.topics) {
      items_.reserve(static_cast<size_t>(image.partition_count()));
      for (const TopicPtr& topic : image.sorted_by_name()) {
        for (int32_t i = 0; i < topic->partition_count(); ++i) items_.push_back({topic->partition(i), topic, std::nullopt});
      }
    } else {
      for (const auto& asked : *request_.topics) {
        const TopicPtr* topic = image.find_shared(asked.topic);
        if (topic == nullptr) continue;
        std::vector<int32_t> indexes(asked.partitions.begin(), asked.partitions.end());
        std::sort(indexes.begin(), indexes.end());
        indexes.erase(std::unique(indexes.begin(), indexes.end()), indexes.end());
        for (const int32_t index : indexes) {
          if ((*topic)->has_partition(index)) items_.push_back({(*topic)->partition(index), *topic, std::nullopt});
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
      if (const storage::Partition* partition = part.shard->log.find(item->id)) item->bytes = partition->size_bytes();
      item_done(part);
    }
  }

  void complete() override {
    const runtime::Runtime& runtime = broker_.runtime();
    const std::string folder(broker_.config().text("log.dirs"));
    auto space = std::make_shared<DiskSpace>();
    runtime.pool->submit(
        [&files = *runtime.files, folder, space] {
          space->free = files.free_bytes(folder);
          space->total = files.total_bytes(folder);
        },
        home().loop, [self = shared_from_this(), this, folder, space] { respond(folder, *space); });
  }

  void respond(const std::string& folder, const DiskSpace& space) {
    protocol::Arena& arena = context_->arena();
    DescribeLogDirsResponse response;
    response.results = arena.array<DescribeLogDirsResponse::DescribeLogDirsResult>(1);
    auto& dir = response.results[0];
    dir.log_dir = folder;
    if (space.free) dir.usable_bytes = static_cast<int64_t>(*space.free);
    if (space.total) dir.total_bytes = static_cast<int64_t>(*space.total);
    std::erase_if(items_, [](const SizeItem& item) { return !item.bytes; });
    std::vector<DescribeLogDirsResponse::DescribeLogDirsTopic> topics;
    for (size_t begin = 0; begin < items_.size();) {
      size_t end = begin;
      while (end < items_.size() && items_[end].topic == items_[begin].topic) ++end;
      auto& topic = topics.emplace_back();
      topic.name = items_[begin].topic->name();
      topic.partitions = arena.array<DescribeLogDirsResponse::DescribeLogDirsPartition>(end - begin);
      for (size_t i = begin; i < end; ++i) {
        topic.partitions[i - begin].partition_index = items_[i].id.index;
        topic.partitions[i - begin].partition_size = static_cast<int64_t>(*items_[i].bytes);
      }
      begin = end;
    }
    dir.topics = topics;
    context_->respond(response);
    context_.reset();
  }

  DescribeLogDirsRequest request_;
  std::vector<SizeItem> items_;
};

}  // namespace

void handle_describe_log_dirs(Broker& broker, RequestContextPtr context) {
  std::make_shared<DescribeLogDirsOperation>(broker, std::move(context))->start();
}

}  // namespace weir::broker
