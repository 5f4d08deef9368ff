// The metadata that a broker serves from: an immutable picture of all topics, brokers, configurations and features as of one
// metadata transaction. A shard holds the current image and never locks. The next image reaches it as a message.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/uuid.h"
#include "broker/config/broker_config.h"
#include "broker/metadata/broker_record.h"
#include "broker/metadata/config_record.h"
#include "broker/metadata/features_record.h"
#include "broker/metadata/partition_record.h"
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
using BrokerPtr = std::shared_ptr<const BrokerRecord>;

// The leader of a partition, as the broker of an image sees it.
struct PartitionOwner {
  enum class Where {
    kLocal,    // this broker
    kRemote,   // another living broker
    kUnknown,  // none, or a broker that is gone
  };
  Where where = Where::kUnknown;
  int32_t broker = PartitionRecord::kNoLeader;  // only if it lives
  int32_t leader_epoch = 0;

  bool local() const { return where == Where::kLocal; }
};

// With its configuration in force; the overrides are valid.
TopicPtr make_topic(TopicRecord record, const BrokerConfig& config);
// Whether a topic belongs to Kafka's own machinery: clients cannot write to it, and tools hide it.
bool is_internal_topic(std::string_view name);

class MetadataImage {
 public:
  // The image of the broker that `config` describes, in the life with this epoch. `config` is the static configuration. Dynamic
  // ones come with put_configs.
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

  // The store's revision when it was like this.
  int64_t revision() const { return revision_; }
  // Entries put and removed, those of the start included: the length of a log of them, if there were one.
  int64_t changes() const { return changes_; }

  // The broker whose image this is. It counts as alive with and without an entry.
  const BrokerRecord& self() const { return *self_; }
  // All living brokers by id, this one among them.
  std::span<const BrokerPtr> brokers() const { return *brokers_; }
  // nullptr if it does not live.
  const BrokerRecord* find_broker(int32_t id) const;
  // The broker that changes the metadata. With one broker it is that one.
  int32_t controller_id() const { return self_->id; }

  // The leader of the partition and its epoch: a function of the records of partition, topic and brokers. So one durable write of
  // a broker's epoch moves the leader epochs of all its partitions.
  PartitionOwner owner(const Topic& topic, int32_t index) const;
  int32_t leader_epoch(const Topic& topic, int32_t index) const { return owner(topic, index).leader_epoch; }
  // The brokers with a replica of it. Valid as long as this image.
  std::span<const int32_t> replicas(const Topic& topic, int32_t index) const;
  int32_t broker_epoch() const { return self_->epoch; }

  // Of the copy that is to become the next image.
  void set_revision(int64_t revision) { revision_ = revision; }
  void put(TopicPtr topic);  // new, or in the place of the one with its id
  void remove(const TopicId& id);
  // A resource without overrides is forgotten. Overrides of this broker or of all brokers change config(), and with it the
  // defaults of topics. The caller then puts in the topics again.
  void put_configs(std::shared_ptr<const ConfigRecord> record);
  void put_features(FeaturesRecord features);
  void put_broker(BrokerRecord broker);  // new, or in the place of the one with its id
  void remove_broker(int32_t id);
  void put_partition(PartitionRecord partition);
  void remove_partition(const storage::PartitionId& id);
  const PartitionRecord* find_partition(const storage::PartitionId& id) const;
  template <typename Visitor>
  void for_each_partition_record(Visitor visit) const {
    partitions_.for_each([&](const storage::PartitionId&, const auto& record) { visit(*record); });
  }

 private:
  static const Topic* get(const TopicPtr* topic) { return topic ? topic->get() : nullptr; }

  BrokerPtr self_;
  std::shared_ptr<const std::vector<BrokerPtr>> brokers_;  // by id
  int64_t revision_ = 0;
  int64_t partition_count_ = 0;
  int64_t changes_ = 0;
  SharedMap<std::string, TopicPtr, NameHash> by_name_;
  SharedMap<TopicId, TopicPtr> by_id_;
  SharedMap<storage::PartitionId, std::shared_ptr<const PartitionRecord>> partitions_;  // those that have a record
  std::shared_ptr<const BrokerConfig> config_;
  SharedMap<std::string, std::shared_ptr<const ConfigRecord>, NameHash> configs_;  // by ConfigRecord::key()
  size_t client_metrics_count_ = 0;
  std::shared_ptr<const FeaturesRecord> features_ = std::make_shared<const FeaturesRecord>();
};
using MetadataImagePtr = std::shared_ptr<const MetadataImage>;

// The changes from one image to the next, for owners of partitions.
struct MetadataChange {
  MetadataImagePtr image;
  struct Added {
    TopicPtr topic;
    int32_t first = 0;  // partitions [first, partition_count)
  };
  std::vector<Added> added;
  std::vector<TopicPtr> removed;
  std::vector<TopicPtr> reconfigured;
  std::vector<TopicPtr> moved;  // that were there before, and may have replicas in other racks now; each once
  std::vector<std::string> reconfigured_groups;
  bool broker_config_changed = false;
};

}  // namespace weir::broker
