#include "broker/coordinators/coordinator_image.h"

#include <algorithm>
#include <memory>

#include "broker/config/resource_config.h"

namespace weir::broker {

std::optional<storage::PartitionId> CoordinatorImage::partition(std::string_view name, int32_t index) const {
  const auto* topic = image_->find(name);
  if (topic == nullptr || !topic->has_partition(index)) return std::nullopt;
  return topic->partition(index);
}

std::optional<coordination::Image::Topic> CoordinatorImage::topic(std::string_view name) const {
  const auto* topic = image_->find(name);
  if (topic == nullptr) return std::nullopt;
  return Topic{topic->id(), topic->partition_count()};
}

std::optional<std::string> CoordinatorImage::topic_name(const Uuid& id) const {
  const auto* topic = image_->find(id);
  if (topic == nullptr) return std::nullopt;
  return topic->name();
}

std::vector<std::string> CoordinatorImage::racks(std::string_view name, int32_t index) const {
  std::vector<std::string> racks;
  const auto* topic = image_->find(name);
  if (topic == nullptr || !topic->has_partition(index)) return racks;
  for (const int32_t id : image_->replicas(*topic, index)) {
    const BrokerRecord* broker = image_->find_broker(id);
    if (broker != nullptr && !broker->rack.empty()) racks.push_back(broker->rack);
  }
  std::sort(racks.begin(), racks.end());
  racks.erase(std::unique(racks.begin(), racks.end()), racks.end());
  return racks;
}

void CoordinatorImage::for_each_topic(const std::function<void(std::string_view name)>& visit) const {
  image_->for_each([&](const TopicPtr& topic) { visit(topic->name()); });
}

std::optional<std::string> CoordinatorImage::group_config(std::string_view group_id, std::string_view name) const {
  const ResourceConfigKey* key = find_resource_key(group_resource_keys(), name);
  if (key == nullptr) return std::nullopt;
  const auto set = image_->find_configs(ConfigResourceType::kGroup, group_id);
  const std::string value =
      effective_resource_config(*key, set ? set->overrides : ConfigOverrides(), *image_->config(), ConfigSource::kGroup).value;
  return std::string(trimmed_config_value(value));
}

coordination::ImageChange image_change(coordination::ImagePtr before, const MetadataChange& change) {
  coordination::ImageChange told;
  told.before = std::move(before);
  told.after = std::make_shared<CoordinatorImage>(change.image);
  for (const TopicPtr& topic : change.removed) {
    told.deleted.push_back({topic->name(), topic->id()});
    told.changed.push_back(topic->name());
  }
  for (const MetadataChange::Added& added : change.added) told.changed.push_back(added.topic->name());
  for (const TopicPtr& topic : change.moved) told.changed.push_back(topic->name());
  std::sort(told.changed.begin(), told.changed.end());
  told.changed.erase(std::unique(told.changed.begin(), told.changed.end()), told.changed.end());
  told.configured = change.reconfigured_groups;
  told.defaults_changed = change.broker_config_changed;
  return told;
}

}  // namespace weir::broker
