#include "broker/metadata/metadata_delta.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/log.h"
#include "broker/config/topic_config.h"
#include "broker/metadata/usable_overrides.h"

namespace weir::broker {

namespace {

// Tells the log of an entry that cannot be read, and goes on without it.
template <typename Record, typename Use>
void use(Result<Record> record, Use what) {
  if (record) return what(std::move(*record));
  log_error("metadata", "An entry that changed cannot be read, and what was there before it stays in force: {}",
            record.error().message);
}

}  // namespace

MetadataDelta::MetadataDelta(const MetadataImage& before)
    : before_(before), image_(std::make_shared<MetadataImage>(before)), change_(std::make_shared<MetadataChange>()) {}

void MetadataDelta::apply(const storage::MetaEvent& event) {
  if (event.deleted) remove(event.entry.key);
  else put(event.entry);
}

void MetadataDelta::put(const storage::MetaEntry& entry) {
  const std::string_view key = entry.key;
  if (key.starts_with(TopicRecord::kPrefix)) {
    use(TopicRecord::decode(key, entry.value), [this](TopicRecord record) { put_topic(std::move(record)); });
  } else if (key.starts_with(ConfigRecord::kPrefix)) {
    use(ConfigRecord::decode(key, entry.value), [this](ConfigRecord record) { put_configs(std::move(record)); });
  } else if (key == FeaturesRecord::kKey) {
    use(FeaturesRecord::decode(entry.value), [this](FeaturesRecord record) {
      if (!(record == *image_->features())) image_->put_features(std::move(record));
    });
  } else if (key.starts_with(BrokerRecord::kPrefix)) {
    use(BrokerRecord::decode(key, entry.value), [this](BrokerRecord record) {
      // What this broker said of itself in an earlier life.
      if (record.id == image_->self().id && record.epoch < image_->self().epoch) return;
      const BrokerRecord* present = image_->find_broker(record.id);
      if (present == nullptr || !(*present == record)) image_->put_broker(std::move(record));
    });
  } else if (key.starts_with(PartitionRecord::kPrefix)) {
    use(PartitionRecord::decode(key, entry.value), [this](PartitionRecord record) {
      const PartitionRecord* present = image_->find_partition(record.id);
      if (present != nullptr && *present == record) return;
      if (present == nullptr || present->replicas != record.replicas) with_other_replicas_.insert(record.id.topic);
      image_->put_partition(std::move(record));
    });
  }
}

void MetadataDelta::remove(std::string_view key) {
  if (key.starts_with(TopicRecord::kPrefix)) {
    const auto id = TopicId::parse(key.substr(TopicRecord::kPrefix.size()));
    const TopicPtr* found = id ? image_->find_shared(*id) : nullptr;
    if (found == nullptr) return;
    const TopicPtr topic = *found;
    image_->remove(topic->id());
    change_->removed.push_back(topic);
  } else if (key.starts_with(ConfigRecord::kPrefix)) {
    use(ConfigRecord::decode(key, ConfigRecord{}.encode()), [this](ConfigRecord record) { put_configs(std::move(record)); });
  } else if (key.starts_with(BrokerRecord::kPrefix)) {
    use(BrokerRecord::decode(key, BrokerRecord{}.encode()),
        [this](const BrokerRecord& record) { image_->remove_broker(record.id); });
  } else if (key.starts_with(PartitionRecord::kPrefix)) {
    use(PartitionRecord::decode(key, PartitionRecord{}.encode()), [this](const PartitionRecord& record) {
      with_other_replicas_.insert(record.id.topic);
      image_->remove_partition(record.id);
    });
  }
}

void MetadataDelta::put_topic(TopicRecord record) {
  (void)drop_unusable_overrides(record);
  const Topic* before = image_->find(record.id);
  if (before && before->record == record) return;
  const int32_t first = before ? before->partition_count() : 0;
  const storage::LogConfig config_before = before ? before->log_config : storage::LogConfig();
  const bool existed = before != nullptr;
  const TopicPtr topic = make_topic(std::move(record), *image_->config());
  image_->put(topic);
  if (first < topic->partition_count()) change_->added.push_back({topic, first});
  if (existed && !(config_before == topic->log_config)) change_->reconfigured.push_back(topic);
}

void MetadataDelta::put_configs(ConfigRecord record) {
  if (record.type == ConfigResourceType::kBroker) (void)drop_unusable_overrides(record);
  const auto present = image_->find_configs(record.type, record.name);
  if (present ? *present == record : record.overrides.empty()) return;
  change_->broker_config_changed |= record.type == ConfigResourceType::kBroker;
  if (record.type == ConfigResourceType::kGroup) change_->reconfigured_groups.push_back(record.name);
  image_->put_configs(std::make_shared<const ConfigRecord>(std::move(record)));
}

// Topics take the configs that they do not set from the broker's configuration.
void MetadataDelta::reconfigure_topics() {
  std::vector<TopicPtr> changed;
  image_->for_each([&](const TopicPtr& topic) {
    storage::LogConfig config = log_config(topic->record.configs, *image_->config());
    if (config == topic->log_config) return;
    auto next = std::make_shared<Topic>(*topic);
    next->log_config = config;
    changed.push_back(std::move(next));
  });
  for (TopicPtr& topic : changed) {
    image_->put(topic);
    change_->reconfigured.push_back(std::move(topic));
  }
}

void MetadataDelta::find_moved_topics() {
  std::set<int32_t> moved;  // brokers that came, went or have another rack
  const auto compare = [&](const MetadataImage& one, const MetadataImage& other) {
    for (const BrokerPtr& broker : one.brokers()) {
      const BrokerRecord* there = other.find_broker(broker->id);
      if ((there ? there->rack : "") != broker->rack) moved.insert(broker->id);
    }
  };
  compare(before_, *image_);
  compare(*image_, before_);
  if (!moved.empty()) {
    image_->for_each_partition_record([&](const PartitionRecord& record) {
      const auto has_moved = [&](int32_t id) { return moved.contains(id); };
      if (std::any_of(record.replicas.begin(), record.replicas.end(), has_moved)) with_other_replicas_.insert(record.id.topic);
    });
  }
  const bool self_moved = moved.contains(image_->self().id);  // the replica of a partition without a record
  if (self_moved) image_->for_each([&](const TopicPtr& topic) { with_other_replicas_.insert(topic->id()); });
  for (const TopicId& id : with_other_replicas_) {
    const TopicPtr* topic = image_->find_shared(id);
    if (topic != nullptr && before_.find(id) != nullptr) change_->moved.push_back(*topic);
  }
}

void MetadataDelta::apply_all(const std::vector<storage::MetaEntry>& entries) {
  std::unordered_set<std::string_view> there;
  for (const storage::MetaEntry& entry : entries) there.insert(entry.key);
  std::vector<std::string> gone;
  const auto check = [&](std::string key) {
    if (!there.contains(key)) gone.push_back(std::move(key));
  };
  before_.for_each([&](const TopicPtr& topic) { check(topic->record.key()); });
  for (const BrokerPtr& broker : before_.brokers()) check(broker->key());
  before_.for_each_partition_record([&](const PartitionRecord& record) { check(record.key()); });
  for (const auto type : {ConfigResourceType::kBroker, ConfigResourceType::kGroup, ConfigResourceType::kClientMetrics}) {
    for (const auto& record : before_.configs_of(type)) check(record->key());
  }
  for (const std::string& key : gone) remove(key);
  for (const storage::MetaEntry& entry : entries) put(entry);
}

std::shared_ptr<const MetadataChange> MetadataDelta::finish(int64_t revision) {
  if (image_->changes() == before_.changes()) return nullptr;
  if (change_->broker_config_changed) reconfigure_topics();
  find_moved_topics();
  image_->set_revision(revision);
  change_->image = std::move(image_);
  return std::move(change_);
}

}  // namespace weir::broker
