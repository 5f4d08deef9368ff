#include "broker/config/topic_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/nearest_name.h"

namespace weir::broker {

namespace {

using enum ConfigType;
using enum ConfigSupport;

constexpr int64_t kHour = 3'600'000;
constexpr int64_t kMinute = 60'000;
constexpr const char* kForever = "9223372036854775807";

// clang-format off
constexpr TopicConfigKey kKeys[] = {
    {{.name = "cleanup.policy", .type = kList, .default_value = "delete", .support = kWorks,
      .doc = "What happens to old data: delete (by retention), compact (the last record of each key stays), or both.", .choices = "compact|delete"}, {{"log.cleanup.policy"}}},
    {{.name = "compression.gzip.level", .type = kInt, .default_value = "-1", .support = kWorks,
      .doc = "Level of gzip when the broker compresses.", .min = 1, .max = 9, .minus_one = true}, {{"compression.gzip.level"}}},
    {{.name = "compression.lz4.level", .type = kInt, .default_value = "9", .support = kWorks,
      .doc = "Level of lz4 when the broker compresses.", .min = 1, .max = 17}, {{"compression.lz4.level"}}},
    {{.name = "compression.type", .type = kString, .default_value = "producer", .support = kWorks,
      .doc = "How batches are stored; producer keeps what the producer chose.", .choices = "uncompressed|zstd|lz4|snappy|gzip|producer"}, {{"compression.type"}}},
    {{.name = "compression.zstd.level", .type = kInt, .default_value = "3", .support = kWorks,
      .doc = "Level of zstd when the broker compresses.", .min = -131072, .max = 22}, {{"compression.zstd.level"}}},
    {{.name = "delete.retention.ms", .type = kLong, .default_value = "86400000", .support = kWorks,
      .doc = "How long a compacted topic keeps the mark of a deleted key.", .min = 0}, {{"log.cleaner.delete.retention.ms"}}},
    {{.name = "errors.deadletterqueue.group.enable", .type = kBoolean, .default_value = "false", .support = kRefused,
      .doc = "Share groups are not served in this version."}, {}},
    {{.name = "file.delete.delay.ms", .type = kLong, .default_value = "60000", .support = kWorks,
      .doc = "How long the files of deleted data stay on disk.", .min = 0}, {{"log.segment.delete.delay.ms"}}},
    {{.name = "flush.messages", .type = kLong, .default_value = kForever, .support = kNoEffect,
      .doc = "Every batch is durable before it is acknowledged.", .min = 1}, {{"log.flush.interval.messages"}}},
    {{.name = "flush.ms", .type = kLong, .default_value = kForever, .support = kNoEffect,
      .doc = "Every batch is durable before it is acknowledged.", .min = 0}, {{"log.flush.interval.ms"}}},
    {{.name = "follower.replication.throttled.replicas", .type = kList, .default_value = "", .support = kNoEffect,
      .doc = "There are no followers to throttle.", .throttled_replicas = true}, {}},
    {{.name = "index.interval.bytes", .type = kInt, .default_value = "4096", .support = kNoEffect,
      .doc = "Indexes are laid out otherwise.", .min = 0}, {{"log.index.interval.bytes"}}},
    {{.name = "leader.replication.throttled.replicas", .type = kList, .default_value = "", .support = kNoEffect,
      .doc = "There are no followers to throttle.", .throttled_replicas = true}, {}},
    {{.name = "local.retention.bytes", .type = kLong, .default_value = "-2", .support = kNoEffect,
      .doc = "Tiered storage is not enabled.", .min = -2}, {{"log.local.retention.bytes"}}},
    {{.name = "local.retention.ms", .type = kLong, .default_value = "-2", .support = kNoEffect,
      .doc = "Tiered storage is not enabled.", .min = -2}, {{"log.local.retention.ms"}}},
    {{.name = "max.compaction.lag.ms", .type = kLong, .default_value = kForever, .support = kWorks,
      .doc = "A record is compacted at the latest this long after it was written.", .min = 1}, {{"log.cleaner.max.compaction.lag.ms"}}},
    {{.name = "max.decompressed.message.bytes", .type = kInt, .default_value = "2147483639", .support = kRefused,
      .doc = "Not available in this version.", .min = 1}, {{"max.decompressed.message.bytes"}}},
    {{.name = "max.message.bytes", .type = kInt, .default_value = "1048588", .support = kWorks,
      .doc = "Largest record batch, after compression.", .min = 0}, {{"message.max.bytes"}}},
    {{.name = "message.timestamp.after.max.ms", .type = kLong, .default_value = "3600000", .support = kWorks,
      .doc = "Refuses records whose timestamp is further ahead of the broker's clock.", .min = 0}, {{"log.message.timestamp.after.max.ms"}}},
    {{.name = "message.timestamp.before.max.ms", .type = kLong, .default_value = kForever, .support = kWorks,
      .doc = "Refuses records whose timestamp is further behind the broker's clock.", .min = 0}, {{"log.message.timestamp.before.max.ms"}}},
    {{.name = "message.timestamp.type", .type = kString, .default_value = "CreateTime", .support = kWorks,
      .doc = "Whose clock record timestamps are of: the producer's or the broker's.", .choices = "CreateTime|LogAppendTime"}, {{"log.message.timestamp.type"}}},
    {{.name = "min.cleanable.dirty.ratio", .type = kDouble, .default_value = "0.5", .support = kWorks,
      .doc = "A partition is compacted once this part of it has not been.", .min = 0, .max = 1}, {{"log.cleaner.min.cleanable.ratio"}}},
    {{.name = "min.compaction.lag.ms", .type = kLong, .default_value = "0", .support = kWorks,
      .doc = "A record stays at least this long before compaction may drop it.", .min = 0}, {{"log.cleaner.min.compaction.lag.ms"}}},
    {{.name = "min.insync.replicas", .type = kInt, .default_value = "1", .support = kWorks,
      .doc = "Replicas that must be in sync for acks=all, at most as many as there are: 1, as a single broker keeps one of each partition.", .min = 1}, {{"min.insync.replicas"}}},
    {{.name = "preallocate", .type = kBoolean, .default_value = "false", .support = kNoEffect,
      .doc = "Files are laid out otherwise."}, {{"log.preallocate"}}},
    {{.name = "remote.copy.lag.bytes", .type = kLong, .default_value = "-1", .support = kNoEffect,
      .doc = "Tiered storage is not enabled.", .min = -1}, {{"log.remote.copy.lag.bytes"}}},
    {{.name = "remote.copy.lag.ms", .type = kLong, .default_value = "0", .support = kNoEffect,
      .doc = "Tiered storage is not enabled.", .min = -1}, {{"log.remote.copy.lag.ms"}}},
    {{.name = "remote.log.copy.disable", .type = kBoolean, .default_value = "false", .support = kNoEffect,
      .doc = "Tiered storage is not enabled."}, {}},
    {{.name = "remote.log.delete.on.disable", .type = kBoolean, .default_value = "false", .support = kNoEffect,
      .doc = "Tiered storage is not enabled."}, {}},
    {{.name = "remote.storage.enable", .type = kBoolean, .default_value = "false", .support = kRefused,
      .doc = "Tiered storage is not available in this version."}, {}},
    {{.name = "retention.bytes", .type = kLong, .default_value = "-1", .support = kWorks,
      .doc = "Most bytes a partition keeps; -1: no limit.", .min = -1}, {{"log.retention.bytes"}}},
    {{.name = "retention.ms", .type = kLong, .default_value = "604800000", .support = kWorks,
      .doc = "How long records are kept; -1: no limit.", .min = -1},
     {{"log.retention.ms"}, {"log.retention.minutes", kMinute}, {"log.retention.hours", kHour}}},
    {{.name = "segment.bytes", .type = kInt, .default_value = "1073741824", .support = kWorks,
      .doc = "Size of a segment file; retention and compaction work on whole segments.", .min = 1048576}, {{"log.segment.bytes"}}},
    {{.name = "segment.index.bytes", .type = kInt, .default_value = "10485760", .support = kNoEffect,
      .doc = "Indexes are laid out otherwise.", .min = 4}, {{"log.index.size.max.bytes"}}},
    {{.name = "segment.jitter.ms", .type = kLong, .default_value = "0", .support = kNoEffect,
      .doc = "Segments of many partitions are written by one checkpoint; there is no rolling storm to spread.", .min = 0},
     {{"log.roll.jitter.ms"}, {"log.roll.jitter.hours", kHour}}},
    {{.name = "segment.ms", .type = kLong, .default_value = "604800000", .support = kWorks,
      .doc = "A segment is closed at the latest this long after its first record.", .min = 1},
     {{"log.roll.ms"}, {"log.roll.hours", kHour}}},
    {{.name = "unclean.leader.election.enable", .type = kBoolean, .default_value = "false", .support = kNoEffect,
      .doc = "What was acknowledged is never given up."}, {{"unclean.leader.election.enable"}}},
};
// clang-format on

std::string_view nearest_topic_key(std::string_view name) {
  std::vector<std::string_view> names;
  for (const TopicConfigKey& key : kKeys) names.emplace_back(key.key.name);
  return nearest_name(name, names);
}

// Reads effective values by name.
class Reader {
 public:
  Reader(const ConfigOverrides& overrides, const BrokerConfig& broker) : overrides_(overrides), broker_(broker) {}
  std::string text(const char* name) const {
    const EffectiveConfig effective = effective_topic_config(*find_topic_config_key(name), overrides_, broker_);
    return std::string(trimmed_config_value(effective.value));
  }
  int64_t i64(const char* name) const { return parse_config_integer(text(name)); }
  int32_t i32(const char* name) const { return static_cast<int32_t>(i64(name)); }
  bool boolean(const char* name) const { return parse_config_boolean(text(name)); }

 private:
  const ConfigOverrides& overrides_;
  const BrokerConfig& broker_;
};

}  // namespace

std::span<const TopicConfigKey> topic_config_keys() { return kKeys; }

const TopicConfigKey* find_topic_config_key(std::string_view name) {
  const auto it = std::lower_bound(std::begin(kKeys), std::end(kKeys), name, [](const TopicConfigKey& key, std::string_view n) {
    return std::string_view(key.key.name) < n;
  });
  return it != std::end(kKeys) && it->key.name == name ? &*it : nullptr;
}

Result<void> check_topic_config(std::string_view name, std::string_view value) {
  const TopicConfigKey* key = find_topic_config_key(name);
  if (!key) {
    const std::string_view near = nearest_topic_key(name);
    return fail(weir::ErrorCode::kInvalid, near.empty()
                                               ? fmt::format("Unknown topic config name: {}", name)
                                               : fmt::format("Unknown topic config name: {} (did you mean {}?)", name, near));
  }
  if (auto ok = check_config_value(key->key, value); !ok) return ok;
  if (key->key.support == kRefused && described_config_value(key->key, value) != key->key.default_value) {
    return fail(weir::ErrorCode::kUnsupported, fmt::format("{} cannot be set: {}", name, key->key.doc));
  }
  return {};
}

Result<void> check_topic_configs(const ConfigOverrides& overrides, const BrokerConfig& broker) {
  for (const auto& [name, value] : overrides) {
    if (auto ok = check_topic_config(name, value); !ok) return ok;
  }
  const TopicConfig config = topic_config(overrides, broker);
  if (config.min_compaction_lag_ms > config.max_compaction_lag_ms) {
    return fail(weir::ErrorCode::kInvalid,
                fmt::format("conflict topic config setting min.compaction.lag.ms ({}) > max.compaction.lag.ms ({})",
                            config.min_compaction_lag_ms, config.max_compaction_lag_ms));
  }
  return {};
}

EffectiveConfig topic_config_default(const ResourceConfigKey& key, const BrokerConfig& broker) {
  for (const ConfigSynonym& synonym : key.synonyms) {
    if (!synonym.broker_key || !broker.is_set(synonym.broker_key)) continue;
    const std::string_view value = broker.text(synonym.broker_key);
    // -1 hours are no limit, as -1 ms are.
    const bool scaled = synonym.factor != 1 && parse_config_integer(value) >= 0;
    return {scaled ? std::to_string(parse_config_integer(value) * synonym.factor) : std::string(value),
            broker.source(synonym.broker_key), synonym.broker_key};
  }
  return {key.key.default_value, ConfigSource::kDefault, nullptr};
}

EffectiveConfig effective_topic_config(const TopicConfigKey& key, const ConfigOverrides& overrides, const BrokerConfig& broker) {
  const auto it = overrides.find(key.key.name);
  if (it != overrides.end()) return {it->second, ConfigSource::kTopic, nullptr};
  return topic_config_default(key, broker);
}

TopicConfig topic_config(const ConfigOverrides& overrides, const BrokerConfig& broker) {
  const Reader read(overrides, broker);
  TopicConfig c;
  const std::string policy = read.text("cleanup.policy");
  c.cleanup_delete = policy.find("delete") != std::string::npos;
  c.cleanup_compact = policy.find("compact") != std::string::npos;
  c.compression_type = read.text("compression.type");
  c.compression_gzip_level = read.i32("compression.gzip.level");
  c.compression_lz4_level = read.i32("compression.lz4.level");
  c.compression_zstd_level = read.i32("compression.zstd.level");
  c.delete_retention_ms = read.i64("delete.retention.ms");
  c.file_delete_delay_ms = read.i64("file.delete.delay.ms");
  c.flush_messages = read.i64("flush.messages");
  c.flush_ms = read.i64("flush.ms");
  c.index_interval_bytes = read.i32("index.interval.bytes");
  c.local_retention_bytes = read.i64("local.retention.bytes");
  c.local_retention_ms = read.i64("local.retention.ms");
  c.max_compaction_lag_ms = read.i64("max.compaction.lag.ms");
  c.max_message_bytes = read.i32("max.message.bytes");
  c.message_timestamp_after_max_ms = read.i64("message.timestamp.after.max.ms");
  c.message_timestamp_before_max_ms = read.i64("message.timestamp.before.max.ms");
  c.log_append_time = read.text("message.timestamp.type") == "LogAppendTime";
  c.min_cleanable_dirty_ratio = parse_config_double(read.text("min.cleanable.dirty.ratio"));
  c.min_compaction_lag_ms = read.i64("min.compaction.lag.ms");
  c.min_insync_replicas = read.i32("min.insync.replicas");
  c.preallocate = read.boolean("preallocate");
  c.retention_bytes = read.i64("retention.bytes");
  c.retention_ms = read.i64("retention.ms");
  c.segment_bytes = read.i32("segment.bytes");
  c.segment_index_bytes = read.i32("segment.index.bytes");
  c.segment_jitter_ms = read.i64("segment.jitter.ms");
  c.segment_ms = read.i64("segment.ms");
  c.unclean_leader_election_enable = read.boolean("unclean.leader.election.enable");
  return c;
}

namespace {

// Nothing for `producer`.
std::optional<protocol::CompressionType> compression_named(std::string_view name) {
  using enum protocol::CompressionType;
  if (name == "uncompressed") return kNone;
  if (name == "gzip") return kGzip;
  if (name == "snappy") return kSnappy;
  if (name == "lz4") return kLz4;
  if (name == "zstd") return kZstd;
  return std::nullopt;
}

}  // namespace

storage::LogConfig log_config(const ConfigOverrides& overrides, const BrokerConfig& broker) {
  const TopicConfig from = topic_config(overrides, broker);
  storage::LogConfig to;
  to.segment_bytes = static_cast<uint64_t>(from.segment_bytes);
  to.segment_ms = from.segment_ms;
  to.cleanup_delete = from.cleanup_delete;
  to.cleanup_compact = from.cleanup_compact;
  to.retention_ms = from.retention_ms;
  to.retention_bytes = from.retention_bytes;
  to.max_message_bytes = from.max_message_bytes;
  to.log_append_time = from.log_append_time;
  to.timestamp_before_max_ms = from.message_timestamp_before_max_ms;
  to.timestamp_after_max_ms = from.message_timestamp_after_max_ms;
  to.file_delete_delay_ms = from.file_delete_delay_ms;
  to.compression = compression_named(from.compression_type);
  to.compression_gzip_level = from.compression_gzip_level;
  to.compression_lz4_level = from.compression_lz4_level;
  to.compression_zstd_level = from.compression_zstd_level;
  to.min_cleanable_dirty_ratio = from.min_cleanable_dirty_ratio;
  to.min_compaction_lag_ms = from.min_compaction_lag_ms;
  to.max_compaction_lag_ms = from.max_compaction_lag_ms;
  to.delete_retention_ms = from.delete_retention_ms;
  return to;
}

}  // namespace weir::broker
