#include "broker/metadata/metadata_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <span>
#include <unordered_set>
#include <utility>

#include "broker/metadata/broker_epoch_record.h"
#include "broker/metadata/cluster_id_record.h"
#include "broker/metadata/features.h"
#include "broker/metadata/topic_name_record.h"
#include "broker/metadata/usable_overrides.h"

namespace weir::broker {
namespace {

using storage::MetaEntry;
using storage::MetaRange;
using storage::MetaStore;

struct Entry {
  bool exists = false;
  std::string value;
  int64_t mod_revision = 0;
};

Result<Entry> read_key(MetaStore& store, std::string_view key) {
  auto range = store.range_blocking(std::string(key));
  if (!range) return std::unexpected(range.error());
  for (MetaEntry& entry : range->entries) {
    if (entry.key == key) return Entry{true, std::move(entry.value), entry.mod_revision};
  }
  return Entry{};
}

// Ascending by key, like the range.
std::span<const MetaEntry> entries_of(const MetaRange& all, std::string_view prefix) {
  const auto first = std::ranges::lower_bound(all.entries, prefix, {}, &MetaEntry::key);
  const auto last = std::find_if(first, all.entries.end(), [&](const auto& entry) { return !entry.key.starts_with(prefix); });
  return {first, last};
}

// Nobody else writes at start, so a compare that fails means a second process on the same data.
Result<void> write_key(MetaStore& store, std::string_view key, const Entry& before, std::string value) {
  storage::MetaTransaction transaction;
  transaction.compares.push_back({std::string(key), before.mod_revision, std::nullopt});
  transaction.operations.push_back({storage::MetaOperation::Kind::kPut, std::string(key), std::move(value)});
  auto outcome = store.transact_blocking(std::move(transaction));
  if (!outcome) return std::unexpected(outcome.error());
  if (!outcome->succeeded) {
    return fail(ErrorCode::kInvalid,
                "metadata entry " + std::string(key) + " changed during start: is another process using this data?");
  }
  return {};
}

Result<std::string> load_cluster_id(MetaStore& store, runtime::Random& random) {
  auto entry = read_key(store, ClusterIdRecord::kKey);
  if (!entry) return std::unexpected(entry.error());
  if (entry->exists) {
    auto record = ClusterIdRecord::decode(entry->value);
    if (!record) return std::unexpected(record.error());
    return record->id;
  }
  const ClusterIdRecord made{random.uuid().to_string()};
  if (auto written = write_key(store, ClusterIdRecord::kKey, *entry, made.encode()); !written) {
    return std::unexpected(written.error());
  }
  return made.id;
}

Result<int32_t> load_broker_epoch(MetaStore& store, bool unclean) {
  auto entry = read_key(store, BrokerEpochRecord::kKey);
  if (!entry) return std::unexpected(entry.error());
  BrokerEpochRecord record;
  if (entry->exists) {
    auto decoded = BrokerEpochRecord::decode(entry->value);
    if (!decoded) return std::unexpected(decoded.error());
    record = *decoded;
  }
  if (record.epoch < 0 || record.epoch == std::numeric_limits<int32_t>::max()) {
    return fail(ErrorCode::kCorrupt,
                fmt::format("{} is {}, and no partition could have a leader epoch", BrokerEpochRecord::kKey, record.epoch));
  }
  if (!entry->exists || unclean) {
    if (entry->exists) ++record.epoch;
    if (auto written = write_key(store, BrokerEpochRecord::kKey, *entry, record.encode()); !written) {
      return std::unexpected(written.error());
    }
  }
  return record.epoch;
}

Result<FeaturesRecord> load_features(MetaStore& store) {
  auto entry = read_key(store, FeaturesRecord::kKey);
  if (!entry) return std::unexpected(entry.error());
  FeaturesRecord record;
  if (entry->exists) {
    auto decoded = FeaturesRecord::decode(entry->value);
    if (!decoded) return std::unexpected(decoded.error());
    record = std::move(*decoded);
  }
  if (complete_features(record)) {
    if (auto written = write_key(store, FeaturesRecord::kKey, *entry, record.encode()); !written) {
      return std::unexpected(written.error());
    }
  }
  return record;
}

Result<std::optional<GroupPlacementRecord>> load_group_placement(MetaStore& store) {
  auto entry = read_key(store, GroupPlacementRecord::kKey);
  if (!entry) return std::unexpected(entry.error());
  if (!entry->exists) return std::nullopt;
  auto record = GroupPlacementRecord::decode(entry->value);
  if (!record) return std::unexpected(record.error());
  return std::optional(*record);
}

// Overrides change only if the entry is still as the image has it.
Result<void> store_what_is_left(MetaStore& store, const MetaEntry& before, std::string value) {
  return write_key(store, before.key, {true, {}, before.mod_revision}, std::move(value));
}

Result<void> load_configs(MetaStore& store, const MetaRange& all, MetadataImage& image) {
  for (const MetaEntry& entry : entries_of(all, ConfigRecord::kPrefix)) {
    auto record = ConfigRecord::decode(entry.key, entry.value);
    if (!record) return std::unexpected(record.error());
    if (record->type == ConfigResourceType::kBroker && drop_unusable_overrides(*record)) {
      if (auto stored = store_what_is_left(store, entry, record->encode()); !stored) return stored;
    }
    image.put_configs(std::make_shared<const ConfigRecord>(std::move(*record)));
  }
  return {};
}

std::unexpected<Error> contradiction(std::string what) {
  return fail(ErrorCode::kCorrupt, "the metadata contradicts itself: " + std::move(what));
}

Result<void> check_topic(const TopicRecord& record, const MetadataImage& image, const DeletedTopics& deleted) {
  const std::string id = record.id.to_string();
  if (const Topic* other = image.find(record.name)) {
    return contradiction(fmt::format("two topics are named {}: {} and {}", record.name, other->id().to_string(), id));
  }
  if (deleted.noted(record.id)) {
    return contradiction(fmt::format("topic {} ({}) is there and its deletion is noted", record.name, id));
  }
  if (record.creation_epoch < 0 || record.creation_epoch > image.broker_epoch()) {
    return contradiction(fmt::format("topic {} ({}) is of epoch {}, the broker of {}", record.name, id, record.creation_epoch,
                                     image.broker_epoch()));
  }
  return {};
}

Result<void> load_topics(MetaStore& store, const MetaRange& all, const DeletedTopics& deleted, MetadataImage& image) {
  for (const MetaEntry& entry : entries_of(all, TopicRecord::kPrefix)) {
    auto record = TopicRecord::decode(entry.key, entry.value);
    if (!record) return std::unexpected(record.error());
    if (auto sound = check_topic(*record, image, deleted); !sound) return sound;
    if (drop_unusable_overrides(*record)) {
      if (auto stored = store_what_is_left(store, entry, record->encode()); !stored) return stored;
    }
    image.put(make_topic(std::move(*record), *image.config()));
  }
  return {};
}

// A topic and its name are put and deleted together.
Result<void> check_topic_names(const MetaRange& all, const MetadataImage& image) {
  const auto names = entries_of(all, TopicNameRecord::kPrefix);
  for (const MetaEntry& entry : names) {
    auto record = TopicNameRecord::decode(entry.key, entry.value);
    if (!record) return std::unexpected(record.error());
    const Topic* topic = image.find(record->id);
    if (!topic) {
      return contradiction(
          fmt::format("the name {} is that of topic {}, which is not there", record->name, record->id.to_string()));
    }
    if (topic->name() != record->name) {
      return contradiction(fmt::format("topic {} is named {} and {}", record->id.to_string(), topic->name(), record->name));
    }
  }
  if (names.size() == image.topic_count()) return {};
  std::unordered_set<std::string_view> known;
  for (const MetaEntry& entry : names) known.insert(std::string_view(entry.key).substr(TopicNameRecord::kPrefix.size()));
  for (const TopicPtr& topic : image.sorted_by_name()) {
    if (known.contains(topic->name())) continue;
    return contradiction(fmt::format("the name of topic {} ({}) is not taken", topic->name(), topic->id().to_string()));
  }
  return {};
}

// An entry of this broker is of a life that ended.
Result<void> load_brokers(const MetaRange& all, MetadataImage& image) {
  for (const MetaEntry& entry : entries_of(all, BrokerRecord::kPrefix)) {
    auto record = BrokerRecord::decode(entry.key, entry.value);
    if (!record) return std::unexpected(record.error());
    if (record->id != image.self().id) image.put_broker(std::move(*record));
  }
  return {};
}

Result<void> load_partitions(const MetaRange& all, MetadataImage& image) {
  for (const MetaEntry& entry : entries_of(all, PartitionRecord::kPrefix)) {
    auto record = PartitionRecord::decode(entry.key, entry.value);
    if (!record) return std::unexpected(record.error());
    const Topic* topic = image.find(record->id.topic);
    if (!topic || !topic->has_partition(record->id.index)) {
      return contradiction(fmt::format("partition {} of topic {} has a leader, and the topic has no such partition",
                                       record->id.index, record->id.topic.to_string()));
    }
    image.put_partition(std::move(*record));
  }
  return {};
}

}  // namespace

Result<LoadedMetadata> load_metadata(MetaStore& store, bool unclean, runtime::Random& random, const BrokerConfig& config) {
  auto has_id = read_key(store, ClusterIdRecord::kKey);
  if (!has_id) return std::unexpected(has_id.error());
  // Before the cluster has an id: after a start that dies in between the folder still counts as new.
  auto deleted = DeletedTopics::load(store, !has_id->exists);
  if (!deleted) return std::unexpected(deleted.error());
  auto cluster_id = load_cluster_id(store, random);
  if (!cluster_id) return std::unexpected(cluster_id.error());
  auto features = load_features(store);
  if (!features) return std::unexpected(features.error());
  auto epoch = load_broker_epoch(store, unclean);
  if (!epoch) return std::unexpected(epoch.error());

  auto placement = load_group_placement(store);
  if (!placement) return std::unexpected(placement.error());

  // All of it as of one revision, from which the image is kept up to date.
  auto all = store.range_blocking("");
  if (!all) return std::unexpected(all.error());
  auto image = std::make_shared<MetadataImage>(*epoch, config);
  image->set_revision(all->revision);
  image->put_features(std::move(*features));
  if (auto brokers = load_brokers(*all, *image); !brokers) return std::unexpected(brokers.error());
  if (auto configs = load_configs(store, *all, *image); !configs) return std::unexpected(configs.error());
  if (auto topics = load_topics(store, *all, *deleted, *image); !topics) return std::unexpected(topics.error());
  if (auto names = check_topic_names(*all, *image); !names) return std::unexpected(names.error());
  if (auto partitions = load_partitions(*all, *image); !partitions) return std::unexpected(partitions.error());
  return LoadedMetadata{std::move(*cluster_id), std::move(image), std::move(*deleted), *placement};
}

}  // namespace weir::broker
