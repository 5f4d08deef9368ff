#include "broker/metadata/metadata_image.h"

#include <algorithm>
#include <utility>

namespace weir::broker {

bool is_internal_topic(std::string_view name) {
  return name == "__consumer_offsets" || name == "__transaction_state" || name == "__share_group_state";
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
  by_name_.erase(topic->name());
}

MetadataImage::MetadataImage(int32_t broker_epoch, const BrokerConfig& config)
    : broker_epoch_(broker_epoch), config_(std::make_shared<const BrokerConfig>(config)) {}

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
