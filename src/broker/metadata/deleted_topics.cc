#include "broker/metadata/deleted_topics.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log.h"
#include "broker/metadata/deleted_topic_record.h"

namespace weir::broker {
namespace {

using storage::MetaOperation;

Result<void> write(storage::MetaStore& store, std::vector<MetaOperation> operations) {
  auto outcome = store.transact_blocking({{}, std::move(operations)});
  if (!outcome) return std::unexpected(outcome.error());
  return {};
}

Result<void> note_all_from_now_on(storage::MetaStore& store) {
  return write(store, {{MetaOperation::Kind::kPut, std::string(DeletionsNotedRecord::kKey), DeletionsNotedRecord::encode()}});
}

}  // namespace

Result<DeletedTopics> DeletedTopics::load(storage::MetaStore& store, bool new_cluster) {
  DeletedTopics topics(store);
  auto entries = store.range_blocking(std::string(DeletedTopicRecord::kPrefix));
  if (!entries) return std::unexpected(entries.error());
  for (const storage::MetaEntry& entry : entries->entries) {
    auto record = DeletedTopicRecord::decode(entry.key, entry.value);
    if (!record) return std::unexpected(record.error());
    topics.names_.emplace(record->id, std::move(record->name));
  }
  auto noted = store.range_blocking(std::string(DeletionsNotedRecord::kKey));
  if (!noted) return std::unexpected(noted.error());
  if (!noted->entries.empty()) {
    if (auto sound = DeletionsNotedRecord::decode(noted->entries.front().value); !sound) return std::unexpected(sound.error());
    return topics;
  }
  if (new_cluster) {
    if (auto written = note_all_from_now_on(store); !written) return std::unexpected(written.error());
  } else {
    topics.complete_ = false;
  }
  return topics;
}

storage::PartitionLookup DeletedTopics::lookup(const MetadataImage& image, std::function<bool(const TopicId&)> given_up) {
  return
      [this, &image, given_up = std::move(given_up)](const storage::PartitionId& id) -> std::optional<storage::KnownPartition> {
        const Topic* topic = image.find(id.topic);
        if (topic && topic->has_partition(id.index)) {
          return storage::KnownPartition{topic->log_config, image.leader_epoch(*topic, id.index), false, topic->name()};
        }
        if (topic) return std::nullopt;  // partitions are never taken away
        if (names_.contains(id.topic)) return storage::KnownPartition{.deleted = true};
        if (complete_ && !(given_up && given_up(id.topic))) return std::nullopt;
        if (!note(id.topic)) return std::nullopt;
        log_warn("metadata", "Topic {} is not known: {}", id.topic.to_string(),
                 complete_ ? "its data goes, as asked for" : "an earlier version deleted it, and its data goes now");
        return storage::KnownPartition{.deleted = true};
      };
}

bool DeletedTopics::note(const TopicId& topic) {
  if (failure_) return false;
  const DeletedTopicRecord record{topic, {}};
  auto written = write(*store_, {{MetaOperation::Kind::kPut, record.key(), record.encode()}});
  if (!written) {
    failure_ = std::move(written.error());
    return false;
  }
  names_.emplace(topic, std::string());
  return true;
}

bool DeletedTopics::outdated(const std::unordered_set<TopicId>& remains) const {
  return std::ranges::any_of(names_, [&](const auto& noted) { return !remains.contains(noted.first); });
}

Result<void> DeletedTopics::settle(const std::unordered_set<TopicId>& remains) {
  if (!complete_) {
    if (auto written = note_all_from_now_on(*store_); !written) return written;
    complete_ = true;
  }
  std::vector<MetaOperation> operations;
  const auto flush = [&] { return operations.empty() ? Result<void>() : write(*store_, std::exchange(operations, {})); };
  for (auto at = names_.begin(); at != names_.end();) {
    if (remains.contains(at->first)) {
      ++at;
      continue;
    }
    operations.push_back({MetaOperation::Kind::kDelete, DeletedTopicRecord::key_of(at->first), {}});
    at = names_.erase(at);
    if (operations.size() < storage::MetaStore::kMaxOperations) continue;
    if (auto written = flush(); !written) return written;
  }
  return flush();
}

}  // namespace weir::broker
