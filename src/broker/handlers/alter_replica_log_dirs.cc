#include "broker/handlers/alter_replica_log_dirs.h"

#include <fmt/format.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/printable.h"
#include "broker/requests/sharded_operation.h"
#include "broker/requests/topic_resolver.h"
#include "protocol/errors.h"
#include "protocol/messages/alter_replica_log_dirs.h"
#include "storage/kafka_error.h"

namespace weir::broker {
namespace {

using protocol::AlterReplicaLogDirsRequest;
using protocol::AlterReplicaLogDirsResponse;
using protocol::ErrorCode;

struct MoveItem {
  storage::PartitionId id;
  uint32_t directory = 0;
  ErrorCode error = ErrorCode::kNone;
};

class AlterReplicaLogDirsOperation final : public ShardedOperation<MoveItem> {
 public:
  AlterReplicaLogDirsOperation(Broker& broker, RequestContextPtr context) : ShardedOperation(broker, std::move(context)) {}

  void start() {
    if (!context_->decode(request_)) return;
    // A partition that is named twice goes where it is named last.
    for (const auto& dir : request_.dirs) {
      for (const auto& topic : dir.topics) {
        for (const int32_t index : topic.partitions) wishes_[topic.name][index].path = dir.path;
      }
    }
    const TopicResolver topics(*context_, *home().image);
    storage::LogDirectories& directories = broker_.log_directories();
    size_t wishes = 0;
    for (const auto& [name, partitions] : wishes_) wishes += partitions.size();
    items_.reserve(wishes);
    for (auto& [name, partitions] : wishes_) {
      const ResolvedTopic topic = topics.find(name);
      for (auto& [index, wish] : partitions) {
        const auto directory = directories.find(wish.path);
        if (!directory) {
          wish.error = ErrorCode::kLogDirNotFound;
        } else if (const ErrorCode error = topic.error_of(index); error != ErrorCode::kNone) {
          directories.prefer(std::string(name), index, *directory);
          wish.error = error;
        } else {
          items_.push_back({topic->partition(index), *directory});
          wish.item = &items_.back();
        }
      }
    }
    assign(items_);
    start_round();
  }

 private:
  struct Wish {
    std::string_view path;
    ErrorCode error = ErrorCode::kNone;
    const MoveItem* item = nullptr;
  };

  // On the owning shard.
  void run(Part& part) override {
    for (MoveItem* item : part.items) {
      storage::Partition* partition = part.shard->log.find(item->id);
      if (partition == nullptr) item->error = ErrorCode::kReplicaNotAvailable;
      else if (partition->offline()) item->error = ErrorCode::kKafkaStorageError;
      if (item->error != ErrorCode::kNone) {
        item_done(part);
        continue;
      }
      part.shard->log.set_directory(
          *partition, item->directory, [self = runtime::HomeRef(this), this, item, &part](Result<void> done) {
            if (!done) {
              log_warn("log", "A partition's log directory could not be noted: {}", done.error().message);
              item->error = storage::kafka_error(done.error());
            }
            item_done(part);
          });
    }
  }

  void complete() override {
    protocol::Arena& arena = context_->arena();
    AlterReplicaLogDirsResponse response;
    response.results = arena.array<AlterReplicaLogDirsResponse::AlterReplicaLogDirTopicResult>(wishes_.size());
    size_t t = 0;
    for (const auto& [name, partitions] : wishes_) {
      auto& topic = response.results[t++];
      topic.topic_name = name;
      topic.partitions = arena.array<AlterReplicaLogDirsResponse::AlterReplicaLogDirPartitionResult>(partitions.size());
      size_t p = 0;
      for (const auto& [index, wish] : partitions) {
        const ErrorCode error = wish.item ? wish.item->error : wish.error;
        if (error == ErrorCode::kNone) {
          tell_change(home(), *context_, fmt::format("Partition {}-{} told to move to {}", name, index, quoted(wish.path, 256)));
        }
        topic.partitions[p++] = {index, static_cast<int16_t>(error)};
      }
    }
    context_->respond(response);
    context_.reset();
  }

  AlterReplicaLogDirsRequest request_;
  std::map<std::string_view, std::map<int32_t, Wish>> wishes_;
  std::vector<MoveItem> items_;
};

}  // namespace

void handle_alter_replica_log_dirs(Broker& broker, RequestContextPtr context) {
  runtime::make_homebound<AlterReplicaLogDirsOperation>(broker, std::move(context))->start();
}

}  // namespace weir::broker
