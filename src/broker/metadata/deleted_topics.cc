#include "broker/metadata/deleted_topics.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/log.h"
#include "broker/metadata/deleted_topic_record.h"

namespace weir::broker {

using storage::MetaOperation;

Result<DeletedTopics> DeletedTopics::load(storage::MetaStore& store, bool new_cluster) {
  DeletedTopics topics(store);
  auto entries = store.range_blocking(std::string(DeletedTopicRecord::kPrefix));
  if (!entries) return std::unexpected(entries.error());
  for (const storage::MetaEntry& entry : entries->entries) {
    auto record = DeletedTopicRecord::decode(entry.key, entry.value);
    if (!record) return std::unexpected(record.error());
    topics.notes_.emplace(record->id, entry.mod_revision);
  }
  auto noted = store.range_blocking(std::string(DeletionsNotedRecord::kKey));
  if (!noted) return std::unexpected(noted.error());
  if (!noted->entries.empty()) {
    if (auto sound = DeletionsNotedRecord::decode(noted->entries.front().value); !sound) return std::unexpected(sound.error());
    return topics;
  }
  if (new_cluster) {
    if (auto written = topics.note_all_from_now_on(); !written) return std::unexpected(written.error());
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
        if (notes_.contains(id.topic)) return storage::KnownPartition{.deleted = true};
        if (complete_ && !(given_up && given_up(id.topic))) return std::nullopt;
        if (!note(id.topic)) return std::nullopt;
        log_warn("metadata", "Topic {} is not known: {}", id.topic.to_string(),
                 complete_ ? "its data goes, as asked for" : "an earlier version deleted it, and its data goes now");
        return storage::KnownPartition{.deleted = true};
      };
}

Result<bool> DeletedTopics::write(std::vector<storage::MetaCompare> compares, std::vector<MetaOperation> operations) {
  auto outcome = store_->transact_blocking({std::move(compares), std::move(operations)});
  if (!outcome) return std::unexpected(outcome.error());
  if (!outcome->succeeded) return false;
  if (outcome->revision != own_to_ + 1) own_from_ = outcome->revision - 1;
  own_to_ = outcome->revision;
  return true;
}

Result<void> DeletedTopics::note_all_from_now_on() {
  auto written =
      write({}, {{MetaOperation::Kind::kPut, std::string(DeletionsNotedRecord::kKey), DeletionsNotedRecord::encode()}});
  if (!written) return std::unexpected(written.error());
  return {};
}

bool DeletedTopics::note(const TopicId& topic) {
  if (failure_) return false;
  const DeletedTopicRecord record{topic, {}};
  auto written = write({}, {{MetaOperation::Kind::kPut, record.key(), record.encode()}});
  if (!written) {
    failure_ = std::move(written.error());
    return false;
  }
  notes_.emplace(topic, own_to_);
  return true;
}

bool DeletedTopics::outdated(const std::unordered_set<TopicId>& remains) const {
  return std::ranges::any_of(notes_, [&](const auto& noted) { return !remains.contains(noted.first); });
}

Result<void> DeletedTopics::settle(const std::unordered_set<TopicId>& remains) {
  if (!complete_) {
    if (auto written = note_all_from_now_on(); !written) return written;
    complete_ = true;
  }
  std::vector<storage::MetaCompare> compares;
  std::vector<MetaOperation> operations;
  const auto flush = [&]() -> Result<void> {
    if (operations.empty()) return {};
    auto written = write(std::exchange(compares, {}), std::exchange(operations, {}));
    if (!written) return std::unexpected(written.error());
    return {};
  };
  for (auto at = notes_.begin(); at != notes_.end();) {
    if (remains.contains(at->first)) {
      ++at;
      continue;
    }
    const std::string key = DeletedTopicRecord::key_of(at->first);
    compares.push_back({key, at->second, std::nullopt});
    operations.push_back({MetaOperation::Kind::kDelete, key, {}});
    at = notes_.erase(at);
    if (operations.size() < storage::MetaStore::kMaxOperations) continue;
    if (auto written = flush(); !written) return written;
  }
  return flush();
}

}  // namespace weir::broker
