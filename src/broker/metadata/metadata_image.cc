#include "broker/metadata/metadata_image.h"

#include <algorithm>
#include <utility>

#include "broker/config/topic_config.h"

namespace weir::broker {

bool is_internal_topic(std::string_view name) {
  return name == "__consumer_offsets" || name == "__transaction_state" || name == "__share_group_state";
}

TopicPtr make_topic(TopicRecord record, const BrokerConfig& config) {
  auto topic = std::make_shared<Topic>();
  topic->log_config = log_config(record.configs, config);
  topic->internal = is_internal_topic(record.name);
  topic->record = std::move(record);
  return topic;
}

std::vector<TopicPtr> MetadataImage::sorted_by_name() const {
  std::vector<TopicPtr> topics;
  topics.reserve(topic_count());
  for_each([&](const TopicPtr& topic) { topics.push_back(topic); });
  std::sort(topics.begin(), topics.end(), [](const TopicPtr& a, const TopicPtr& b) { return a->name() < b->name(); });
  return topics;
}

void MetadataImage::put(TopicPtr topic) {
  ++changes_;
  if (const Topic* before = find(topic->id())) partition_count_ -= before->partition_count();
  partition_count_ += topic->partition_count();
  by_id_.put(topic->id(), topic);
  by_name_.put(topic->name(), topic);
}

void MetadataImage::remove(const TopicId& id) {
  const TopicPtr* found = find_shared(id);
  if (found == nullptr) return;
  const TopicPtr topic = *found;
  ++changes_;
  partition_count_ -= topic->partition_count();
  by_id_.erase(id);
  // Another one may have the name by now.
  if (const Topic* named = find(topic->name()); named && named->id() == id) by_name_.erase(topic->name());
  if (partitions_.size() == 0) return;
  for (int32_t i = 0; i < topic->partition_count(); ++i) partitions_.erase(topic->partition(i));
}

MetadataImage::MetadataImage(int32_t broker_epoch, const BrokerConfig& config)
    : config_(std::make_shared<const BrokerConfig>(config)) {
  BrokerRecord self;
  self.id = config.node_id();
  self.epoch = broker_epoch;
  self.rack = config.text("broker.rack");
  self_ = std::make_shared<const BrokerRecord>(std::move(self));
  brokers_ = std::make_shared<const std::vector<BrokerPtr>>(1, self_);
}

// --- brokers and partitions -----------------------------------------------------------------------------------------

namespace {

constexpr auto kId = [](const BrokerPtr& broker) { return broker->id; };

}  // namespace

const BrokerRecord* MetadataImage::find_broker(int32_t id) const {
  const auto at = std::ranges::lower_bound(*brokers_, id, {}, kId);
  return at == brokers_->end() || (*at)->id != id ? nullptr : at->get();
}

void MetadataImage::put_broker(BrokerRecord broker) {
  ++changes_;
  const auto record = std::make_shared<const BrokerRecord>(std::move(broker));
  if (record->id == self_->id) self_ = record;
  auto brokers = std::make_shared<std::vector<BrokerPtr>>(*brokers_);
  const auto at = std::ranges::lower_bound(*brokers, record->id, {}, kId);
  if (at != brokers->end() && (*at)->id == record->id) *at = record;
  else brokers->insert(at, record);
  brokers_ = std::move(brokers);
}

void MetadataImage::remove_broker(int32_t id) {
  if (id == self_->id || find_broker(id) == nullptr) return;
  ++changes_;
  auto brokers = std::make_shared<std::vector<BrokerPtr>>(*brokers_);
  std::erase_if(*brokers, [id](const BrokerPtr& broker) { return broker->id == id; });
  brokers_ = std::move(brokers);
}

const PartitionRecord* MetadataImage::find_partition(const storage::PartitionId& id) const {
  if (partitions_.size() == 0) return nullptr;  // as always on one machine
  const auto* found = partitions_.find(id);
  return found ? found->get() : nullptr;
}

void MetadataImage::put_partition(PartitionRecord partition) {
  ++changes_;
  auto record = std::make_shared<const PartitionRecord>(std::move(partition));
  partitions_.put(record->id, record);
}

void MetadataImage::remove_partition(const storage::PartitionId& id) {
  if (find_partition(id) == nullptr) return;
  ++changes_;
  partitions_.erase(id);
}

PartitionOwner MetadataImage::owner(const Topic& topic, int32_t index) const {
  using Where = PartitionOwner::Where;
  const PartitionRecord* record = find_partition(topic.partition(index));
  if (record == nullptr) return {Where::kLocal, self_->id, self_->epoch - topic.record.creation_epoch};
  const BrokerRecord* leader = find_broker(record->leader);
  if (leader == nullptr) return {Where::kUnknown, PartitionRecord::kNoLeader, record->leader_epoch};
  const int32_t epoch = record->leader_epoch + std::max(leader->epoch - record->broker_epoch, 0);
  return {leader->id == self_->id ? Where::kLocal : Where::kRemote, leader->id, epoch};
}

std::span<const int32_t> MetadataImage::replicas(const Topic& topic, int32_t index) const {
  const PartitionRecord* record = find_partition(topic.partition(index));
  return record ? std::span<const int32_t>(record->replicas) : std::span<const int32_t>(&self_->id, 1);
}

// --- configurations and features ------------------------------------------------------------------------------------

std::shared_ptr<const ConfigRecord> MetadataImage::find_configs(ConfigResourceType type, std::string_view name) const {
  const auto* found = configs_.find(ConfigRecord::key_of(type, name));
  return found ? *found : nullptr;
}

std::vector<std::shared_ptr<const ConfigRecord>> MetadataImage::configs_of(ConfigResourceType type) const {
  std::vector<std::shared_ptr<const ConfigRecord>> found;
  configs_.for_each([&](const std::string&, const std::shared_ptr<const ConfigRecord>& record) {
    if (record->type == type) found.push_back(record);
  });
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a->name < b->name; });
  return found;
}

void MetadataImage::put_configs(std::shared_ptr<const ConfigRecord> record) {
  const ConfigResourceType type = record->type;
  const std::string key = record->key();
  ++changes_;
  if (type == ConfigResourceType::kClientMetrics) {
    client_metrics_count_ += !record->overrides.empty();
    client_metrics_count_ -= configs_.find(key) != nullptr;
  }
  if (record->overrides.empty()) configs_.erase(key);
  else configs_.put(key, std::move(record));
  if (type != ConfigResourceType::kBroker) return;
  const auto overrides_of = [&](const std::string& name) {
    const auto found = find_configs(ConfigResourceType::kBroker, name);
    return found ? found->overrides : ConfigOverrides();
  };
  auto config = std::make_shared<BrokerConfig>(*config_);
  config->set_dynamic(overrides_of(std::to_string(config->node_id())), overrides_of(""));
  config_ = std::move(config);
}

void MetadataImage::put_features(FeaturesRecord features) {
  ++changes_;
  features_ = std::make_shared<const FeaturesRecord>(std::move(features));
}

}  // namespace weir::broker
