#include "broker/metadata/metadata_loader.h"

#include <fmt/format.h>

#include <limits>
#include <unordered_set>
#include <utility>

#include "base/log.h"
#include "broker/config/topic_config.h"
#include "broker/metadata/broker_epoch_record.h"
#include "broker/metadata/cluster_id_record.h"
#include "broker/metadata/features.h"
#include "broker/metadata/topic_name_record.h"

namespace weir::broker {
namespace {

using storage::MetaEntry;
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

// A value that another version accepted and this one does not is said once, and not in force. Its default must not delete what
// it kept: if it is one of those that decide, `prefix` and their names, nothing is deleted until somebody sets them anew. True if
// there was such a value.
template <typename Check>
bool drop_unusable(ConfigOverrides& overrides, const std::string& prefix, const std::string& of, const Check& check) {
  bool decides = false;
  const auto dropped = std::erase_if(overrides, [&](const auto& override) {
    const Result<void> valid = check(override);
    if (valid) return false;
    const std::string_view name = std::string_view(override.first).substr(std::min(prefix.size(), override.first.size()));
    decides |= name.starts_with("retention.") || name == "cleanup.policy";
    log_warn("metadata", "{}: the stored configuration {} is ignored: {}", of, override.first, valid.error().message);
    return true;
  });
  if (!decides) return dropped > 0;
  for (const auto& [name, value] : {std::pair("cleanup.policy", "delete"), {"retention.ms", "-1"}, {"retention.bytes", "-1"}}) {
    overrides.insert_or_assign(prefix + name, value);
  }
  log_error("metadata",
            "{}: what decides over deletion cannot be read, so nothing is deleted for its age or size, nor compacted. "
            "Set {}cleanup.policy, {}retention.ms and {}retention.bytes anew",
            of, prefix, prefix, prefix);
  return true;
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

// Changes are made only to what is as the image has it.
Result<void> store_what_is_left(MetaStore& store, const MetaEntry& before, std::string value) {
  return write_key(store, before.key, {true, {}, before.mod_revision}, std::move(value));
}

Result<void> load_configs(MetaStore& store, MetadataImage& image) {
  auto entries = store.range_blocking(std::string(ConfigRecord::kPrefix));
  if (!entries) return std::unexpected(entries.error());
  for (const MetaEntry& entry : entries->entries) {
    auto record = ConfigRecord::decode(entry.key, entry.value);
    if (!record) return std::unexpected(record.error());
    const auto check = [](const auto& override) { return check_dynamic_configs({override}); };
    if (record->type == ConfigResourceType::kBroker && drop_unusable(record->overrides, "log.", "the broker", check)) {
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

Result<void> load_topics(MetaStore& store, const DeletedTopics& deleted, MetadataImage& image) {
  auto topics = store.range_blocking(std::string(TopicRecord::kPrefix));
  if (!topics) return std::unexpected(topics.error());
  for (const MetaEntry& entry : topics->entries) {
    auto record = TopicRecord::decode(entry.key, entry.value);
    if (!record) return std::unexpected(record.error());
    if (auto sound = check_topic(*record, image, deleted); !sound) return sound;
    const auto check = [](const auto& override) { return check_topic_config(override.first, override.second); };
    if (drop_unusable(record->configs, "", "topic " + record->name, check)) {
      if (auto stored = store_what_is_left(store, entry, record->encode()); !stored) return stored;
    }
    auto topic = std::make_shared<Topic>();
    topic->log_config = log_config(record->configs, *image.config());
    topic->internal = is_internal_topic(record->name);
    topic->record = std::move(*record);
    image.put(std::move(topic));
  }
  return {};
}

// A topic and its name are put and deleted together.
Result<void> check_topic_names(MetaStore& store, const MetadataImage& image) {
  auto names = store.range_blocking(std::string(TopicNameRecord::kPrefix));
  if (!names) return std::unexpected(names.error());
  for (const MetaEntry& entry : names->entries) {
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
  if (names->entries.size() == image.topic_count()) return {};
  std::unordered_set<std::string_view> known;
  for (const MetaEntry& entry : names->entries) known.insert(std::string_view(entry.key).substr(TopicNameRecord::kPrefix.size()));
  for (const TopicPtr& topic : image.sorted_by_name()) {
    if (known.contains(topic->name())) continue;
    return contradiction(fmt::format("the name of topic {} ({}) is not taken", topic->name(), topic->id().to_string()));
  }
  return {};
}

// The entry of this broker, if there is one, is of a life that ended.
Result<void> load_brokers(MetaStore& store, MetadataImage& image) {
  auto entries = store.range_blocking(std::string(BrokerRecord::kPrefix));
  if (!entries) return std::unexpected(entries.error());
  for (const MetaEntry& entry : entries->entries) {
    auto record = BrokerRecord::decode(entry.key, entry.value);
    if (!record) return std::unexpected(record.error());
    if (record->id != image.self().id) image.put_broker(std::move(*record));
  }
  return {};
}

Result<void> load_partitions(MetaStore& store, MetadataImage& image) {
  auto entries = store.range_blocking(std::string(PartitionRecord::kPrefix));
  if (!entries) return std::unexpected(entries.error());
  for (const MetaEntry& entry : entries->entries) {
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
  // Before the cluster has an id: a start that dies in between is as new.
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

  auto image = std::make_shared<MetadataImage>(*epoch, config);
  image->put_features(std::move(*features));
  if (auto brokers = load_brokers(store, *image); !brokers) return std::unexpected(brokers.error());
  if (auto configs = load_configs(store, *image); !configs) return std::unexpected(configs.error());
  if (auto topics = load_topics(store, *deleted, *image); !topics) return std::unexpected(topics.error());
  if (auto names = check_topic_names(store, *image); !names) return std::unexpected(names.error());
  if (auto partitions = load_partitions(store, *image); !partitions) return std::unexpected(partitions.error());
  return LoadedMetadata{std::move(*cluster_id), std::move(image), std::move(*deleted), *placement};
}

}  // namespace weir::broker
