// What the brokers serve metadata from: an immutable picture of all topics, configurations and features as of one metadata
// transaction. A shard holds the current one and never locks; the next one reaches it as a message.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/uuid.h"
#include "broker/config/broker_config.h"
#include "broker/metadata/config_record.h"
#include "broker/metadata/features_record.h"
#include "broker/metadata/shared_map.h"
#include "broker/metadata/topic_record.h"
#include "storage/log/log_config.h"
#include "storage/types.h"

namespace weir::broker {

// Hash that finds a std::string key by a string_view.
struct NameHash {
  using is_transparent = void;
  size_t operator()(std::string_view name) const { return std::hash<std::string_view>()(name); }
};

struct Topic {
  TopicRecord record;
  storage::LogConfig log_config;  // effective: overrides over the broker's defaults
  bool internal = false;

  const std::string& name() const { return record.name; }
  const TopicId& id() const { return record.id; }
  int32_t partition_count() const { return record.partition_count; }
  bool has_partition(int32_t index) const { return index >= 0 && index < record.partition_count; }
  storage::PartitionId partition(int32_t index) const { return {record.id, index}; }
};
using TopicPtr = std::shared_ptr<const Topic>;

// Topics that belong to Kafka's own machinery: clients cannot write to them, tools hide them.
bool is_internal_topic(std::string_view name);

class MetadataImage {
 public:
  // `config`: the static configuration; dynamic ones come with put_configs.
  explicit MetadataImage(int32_t broker_epoch, const BrokerConfig& config = {});

  // nullptr if there is no such topic. The pointer is valid as long as this image or any later one that has the topic.
  const TopicPtr* find_shared(std::string_view name) const { return by_name_.find(name); }
  const TopicPtr* find_shared(const TopicId& id) const { return by_id_.find(id); }
  const Topic* find(std::string_view name) const { return get(by_name_.find(name)); }
  const Topic* find(const TopicId& id) const { return get(by_id_.find(id)); }

  size_t topic_count() const { return by_id_.size(); }
  int64_t partition_count() const { return partition_count_; }
  std::vector<TopicPtr> sorted_by_name() const;
  template <typename Visitor>
  void for_each(Visitor visit) const {
    by_id_.for_each([&](const TopicId&, const TopicPtr& topic) { visit(topic); });
  }

  // The broker's configuration in force, dynamic changes included.
  const std::shared_ptr<const BrokerConfig>& config() const { return config_; }
  // Overrides of a broker, group or client metrics subscription; nullptr if there are none.
  std::shared_ptr<const ConfigRecord> find_configs(ConfigResourceType type, std::string_view name) const;
  // Every one of a kind, by name.
  std::vector<std::shared_ptr<const ConfigRecord>> configs_of(ConfigResourceType type) const;
  size_t configs_count() const { return configs_.size(); }
  // How many client metrics subscriptions there are.
  size_t client_metrics_count() const { return client_metrics_count_; }
  const std::shared_ptr<const FeaturesRecord>& features() const { return features_; }

  // Entries put and removed, those of the start included: the length of a log of them, if there were one.
  int64_t changes() const { return changes_; }

  int32_t broker_epoch() const { return broker_epoch_; }
  int32_t leader_epoch(const Topic& topic) const { return broker_epoch_ - topic.record.creation_epoch; }

  // Of the copy that is to become the next image.
  void put(TopicPtr topic);  // new, or in the place of the one with its id
  void remove(const TopicId& id);
  // Without overrides the resource is forgotten. Of this broker or of all: config() changes, and with it what topics take
  // as defaults, which the caller then puts in again.
  void put_configs(std::shared_ptr<const ConfigRecord> record);
  void put_features(FeaturesRecord features);

 private:
  static const Topic* get(const TopicPtr* topic) { return topic ? topic->get() : nullptr; }

  int32_t broker_epoch_;
  int64_t partition_count_ = 0;
  int64_t changes_ = 0;
  SharedMap<std::string, TopicPtr, NameHash> by_name_;
  SharedMap<TopicId, TopicPtr> by_id_;
  std::shared_ptr<const BrokerConfig> config_;
  SharedMap<std::string, std::shared_ptr<const ConfigRecord>, NameHash> configs_;  // by ConfigRecord::key()
  size_t client_metrics_count_ = 0;
  std::shared_ptr<const FeaturesRecord> features_ = std::make_shared<const FeaturesRecord>();
};
using MetadataImagePtr = std::shared_ptr<const MetadataImage>;

// What changed from one image to the next, for those who own partitions.
struct MetadataChange {
  MetadataImagePtr image;
  struct Added {
    TopicPtr topic;
    int32_t first = 0;  // partitions [first, partition_count)
  };
  std::vector<Added> added;
  std::vector<TopicPtr> removed;
  std::vector<TopicPtr> reconfigured;
  bool broker_config_changed = false;
};

}  // namespace weir::broker
