// Kafka's topic configs: names, defaults, bounds, and the broker keys of their defaults. A topic stores its overrides as text
// (ConfigOverrides). The configs in force are computed from them and the broker's configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "broker/config/broker_config.h"
#include "broker/config/config_key.h"
#include "storage/log/log_config.h"

namespace weir::broker {

// The broker key of a topic config. One unit of the key is `factor` units of the topic config.
struct ConfigSynonym {
  const char* broker_key = nullptr;
  int64_t factor = 1;
};

struct ResourceConfigKey {
  ConfigKey key;
  ConfigSynonym synonyms[3];  // the first one that is set wins; the default is the last one's unit
};
using TopicConfigKey = ResourceConfigKey;

std::span<const TopicConfigKey> topic_config_keys();  // sorted by name
const TopicConfigKey* find_topic_config_key(std::string_view name);

// Checks one override. The error is written for the client that sent it.
Result<void> check_topic_config(std::string_view name, std::string_view value);
// Checks all, and rules between them (segment.bytes against max.message.bytes, compaction lags).
Result<void> check_topic_configs(const ConfigOverrides& overrides, const BrokerConfig& broker);

struct EffectiveConfig {
  std::string value;
  ConfigSource source = ConfigSource::kDefault;
  const char* broker_key = nullptr;  // the key of its value, with a broker's source
};
// The value of a topic without an override.
EffectiveConfig topic_config_default(const ResourceConfigKey& key, const BrokerConfig& broker);
EffectiveConfig effective_topic_config(const TopicConfigKey& key, const ConfigOverrides& overrides, const BrokerConfig& broker);

// All of Kafka's topic configs in force for one topic, parsed.
struct TopicConfig {
  bool cleanup_delete = true;
  bool cleanup_compact = false;
  std::string compression_type = "producer";
  int32_t compression_gzip_level = -1;
  int32_t compression_lz4_level = 9;
  int32_t compression_zstd_level = 3;
  int64_t delete_retention_ms = 86'400'000;
  int64_t file_delete_delay_ms = 60'000;
  int64_t flush_messages = INT64_MAX;
  int64_t flush_ms = INT64_MAX;
  int32_t index_interval_bytes = 4096;
  int64_t local_retention_bytes = -2;
  int64_t local_retention_ms = -2;
  int64_t max_compaction_lag_ms = INT64_MAX;
  int32_t max_message_bytes = 1'048'588;
  int64_t message_timestamp_after_max_ms = 3'600'000;
  int64_t message_timestamp_before_max_ms = INT64_MAX;
  bool log_append_time = false;
  double min_cleanable_dirty_ratio = 0.5;
  int64_t min_compaction_lag_ms = 0;
  int32_t min_insync_replicas = 1;
  bool preallocate = false;
  int64_t retention_bytes = -1;
  int64_t retention_ms = 604'800'000;
  int32_t segment_bytes = 1 << 30;
  int32_t segment_index_bytes = 10'485'760;
  int64_t segment_jitter_ms = 0;
  int64_t segment_ms = 604'800'000;
  bool unclean_leader_election_enable = false;
};
TopicConfig topic_config(const ConfigOverrides& overrides, const BrokerConfig& broker);
// The part of it that the log acts on.
storage::LogConfig log_config(const ConfigOverrides& overrides, const BrokerConfig& broker);

}  // namespace weir::broker
