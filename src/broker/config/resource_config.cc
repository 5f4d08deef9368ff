#include "broker/config/resource_config.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

namespace weir::broker {

namespace {

using enum ConfigType;
using enum ConfigSupport;

// clang-format off
constexpr ResourceConfigKey kGroupKeys[] = {
    {{.name = "consumer.assignment.interval.ms", .type = kInt, .default_value = "1000", .support = kWorks,
      .doc = "Least time between two assignments of the group.", .min = 0}, {{"group.consumer.assignment.interval.ms"}}},
    {{.name = "consumer.heartbeat.interval.ms", .type = kInt, .default_value = "5000", .support = kWorks,
      .doc = "Heartbeat interval told to the group's members.", .min = 1}, {{"group.consumer.heartbeat.interval.ms"}}},
    {{.name = "consumer.session.timeout.ms", .type = kInt, .default_value = "45000", .support = kWorks,
      .doc = "A silent member of the group is removed after this long.", .min = 1}, {{"group.consumer.session.timeout.ms"}}},
    {{.name = "errors.deadletterqueue.copy.record.enable", .type = kBoolean, .default_value = "false", .support = kNoEffect,
      .doc = "Whether the share group's dead letter topic gets the records themselves."}, {}},
    {{.name = "errors.deadletterqueue.topic.name", .type = kString, .default_value = "", .support = kNoEffect,
      .doc = "Where the share group puts records that it gave up."}, {}},
    {{.name = "share.assignment.interval.ms", .type = kInt, .default_value = "1000", .support = kNoEffect,
      .doc = "Least time between two assignments of the share group.", .min = 0}, {{"group.share.assignment.interval.ms"}}},
    {{.name = "share.auto.offset.reset", .type = kString, .default_value = "latest", .support = kNoEffect,
      .doc = "Where the share group begins: latest, earliest, or by_duration: and an ISO 8601 duration."}, {}},
    {{.name = "share.delivery.count.limit", .type = kInt, .default_value = "5", .support = kNoEffect,
      .doc = "How often a record is delivered before it is given up.", .min = 2}, {{"group.share.delivery.count.limit"}}},
    {{.name = "share.heartbeat.interval.ms", .type = kInt, .default_value = "5000", .support = kNoEffect,
      .doc = "Heartbeat interval told to the share group's members.", .min = 1}, {{"group.share.heartbeat.interval.ms"}}},
    {{.name = "share.isolation.level", .type = kString, .default_value = "read_uncommitted", .support = kNoEffect,
      .doc = "Whether records of open and aborted transactions are delivered.", .choices = "read_committed|read_uncommitted"}, {}},
    {{.name = "share.partition.max.record.locks", .type = kInt, .default_value = "2000", .support = kNoEffect,
      .doc = "Most records of a partition in flight.", .min = 100}, {{"group.share.partition.max.record.locks"}}},
    {{.name = "share.record.lock.duration.ms", .type = kInt, .default_value = "30000", .support = kNoEffect,
      .doc = "How long a delivered record is reserved for its consumer.", .min = 1000}, {{"group.share.record.lock.duration.ms"}}},
    {{.name = "share.renew.acknowledge.enable", .type = kBoolean, .default_value = "true", .support = kNoEffect,
      .doc = "Lets consumers prolong the reservation of a record."}, {}},
    {{.name = "share.session.timeout.ms", .type = kInt, .default_value = "45000", .support = kNoEffect,
      .doc = "A silent member of the share group is removed after this long.", .min = 1}, {{"group.share.session.timeout.ms"}}},
    {{.name = "streams.assignment.interval.ms", .type = kInt, .default_value = "1000", .support = kNoEffect,
      .doc = "Least time between two assignments of the streams group.", .min = 0}, {{"group.streams.assignment.interval.ms"}}},
    {{.name = "streams.assignor.name", .type = kString, .default_value = "sticky", .support = kNoEffect,
      .doc = "Who assigns the tasks of the streams group."}, {{"group.streams.assignors"}}},
    {{.name = "streams.heartbeat.interval.ms", .type = kInt, .default_value = "5000", .support = kNoEffect,
      .doc = "Heartbeat interval told to the streams group's members.", .min = 1}, {{"group.streams.heartbeat.interval.ms"}}},
    {{.name = "streams.initial.rebalance.delay.ms", .type = kInt, .default_value = "3000", .support = kNoEffect,
      .doc = "How long a new streams group waits for more members.", .min = 0}, {{"group.streams.initial.rebalance.delay.ms"}}},
    {{.name = "streams.num.standby.replicas", .type = kInt, .default_value = "0", .support = kNoEffect,
      .doc = "Standby tasks of each stateful task.", .min = 0}, {{"group.streams.num.standby.replicas"}}},
    {{.name = "streams.rack.aware.assignment.tags", .type = kList, .default_value = "", .support = kNoEffect,
      .doc = "Tags of clients over which the streams group spreads standby tasks."}, {{"group.streams.rack.aware.assignment.tags"}}},
    {{.name = "streams.session.timeout.ms", .type = kInt, .default_value = "45000", .support = kNoEffect,
      .doc = "A silent member of the streams group is removed after this long.", .min = 1}, {{"group.streams.session.timeout.ms"}}},
};

constexpr ResourceConfigKey kClientMetricsKeys[] = {
    {{.name = "interval.ms", .type = kInt, .default_value = "300000", .support = kWorks,
      .doc = "How often the clients push."}, {}},
    {{.name = "match", .type = kList, .default_value = "", .support = kWorks,
      .doc = "Which clients: client_instance_id, client_id, client_software_name, client_software_version, "
             "client_source_address or client_source_port, each with = and a regular expression. Empty: all."}, {}},
    {{.name = "metrics", .type = kList, .default_value = "", .support = kWorks,
      .doc = "Prefixes of the names of the metrics to push; * is all of them."}, {}},
};
// clang-format on

// In the order of ClientParameter.
constexpr std::string_view kClientParameters[] = {"client_instance_id",    "client_id",
                                                  "client_software_name",  "client_software_version",
                                                  "client_source_address", "client_source_port"};

// A group's value lies between two of the broker's.
struct GroupBounds {
  const char* key;
  const char* low;  // nullptr: none
  const char* high;
};
// In the order in which Kafka looks at them.
constexpr GroupBounds kGroupBounds[] = {
    {"consumer.heartbeat.interval.ms", "group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"},
    {"consumer.session.timeout.ms", "group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms"},
    {"consumer.assignment.interval.ms", "group.consumer.min.assignment.interval.ms", "group.consumer.max.assignment.interval.ms"},
    {"share.heartbeat.interval.ms", "group.share.min.heartbeat.interval.ms", "group.share.max.heartbeat.interval.ms"},
    {"share.session.timeout.ms", "group.share.min.session.timeout.ms", "group.share.max.session.timeout.ms"},
    {"share.record.lock.duration.ms", "group.share.min.record.lock.duration.ms", "group.share.max.record.lock.duration.ms"},
    {"share.delivery.count.limit", "group.share.min.delivery.count.limit", "group.share.max.delivery.count.limit"},
    {"share.partition.max.record.locks", "group.share.min.partition.max.record.locks",
     "group.share.max.partition.max.record.locks"},
    {"share.assignment.interval.ms", "group.share.min.assignment.interval.ms", "group.share.max.assignment.interval.ms"},
    {"streams.heartbeat.interval.ms", "group.streams.min.heartbeat.interval.ms", "group.streams.max.heartbeat.interval.ms"},
    {"streams.session.timeout.ms", "group.streams.min.session.timeout.ms", "group.streams.max.session.timeout.ms"},
    {"streams.num.standby.replicas", nullptr, "group.streams.max.standby.replicas"},
    {"streams.assignment.interval.ms", "group.streams.min.assignment.interval.ms", "group.streams.max.assignment.interval.ms"},
};

Result<void> check_between(const ConfigOverrides& overrides, const BrokerConfig& broker, const GroupBounds& bounds) {
  const auto own = overrides.find(std::string_view(bounds.key));
  if (own == overrides.end()) return {};
  const int64_t value = parse_config_integer(own->second);
  const int64_t high = broker.integer(bounds.high);
  if (!bounds.low) {
    return value <= high ? Result<void>()
                         : fail(weir::ErrorCode::kInvalid, fmt::format("{} must be less than or equal to {}", bounds.key, high));
  }
  const int64_t low = broker.integer(bounds.low);
  if (value < low || value > high) {
    return fail(weir::ErrorCode::kInvalid, fmt::format("{} must be in the range {} to {} inclusive.", bounds.key, low, high));
  }
  return {};
}

// Of the broker's own keys.
Result<void> check_order(const BrokerConfig& broker, std::string_view lower, std::string_view higher) {
  if (broker.integer(lower) <= broker.integer(higher)) return {};
  return fail(weir::ErrorCode::kInvalid, fmt::format("{} must be less than or equal to {}", lower, higher));
}

}  // namespace

std::optional<ClientMatch> parse_client_match(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || text.find('=', equals + 1) != std::string_view::npos) return std::nullopt;
  const std::string_view parameter = trimmed_config_value(text.substr(0, equals)),
                         pattern = trimmed_config_value(text.substr(equals + 1));
  const auto known = std::find(std::begin(kClientParameters), std::end(kClientParameters), parameter);
  if (known == std::end(kClientParameters) || pattern.empty()) return std::nullopt;
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(1 << 20);
  auto compiled = std::make_shared<const re2::RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
  if (!compiled->ok()) return std::nullopt;
  return ClientMatch{static_cast<ClientParameter>(known - std::begin(kClientParameters)), std::move(compiled)};
}

bool matches(const ClientMatch& match, std::string_view value) {
  return re2::RE2::FullMatch(re2::StringPiece(value.data(), value.size()), *match.pattern);
}

std::span<const ResourceConfigKey> group_resource_keys() { return kGroupKeys; }
std::span<const ResourceConfigKey> client_metrics_keys() { return kClientMetricsKeys; }

const ResourceConfigKey* find_resource_key(std::span<const ResourceConfigKey> keys, std::string_view name) {
  const auto it = std::find_if(keys.begin(), keys.end(), [&](const ResourceConfigKey& key) { return key.key.name == name; });
  return it == keys.end() ? nullptr : &*it;
}

Result<void> check_group_configs(const ConfigOverrides& overrides, const BrokerConfig& broker) {
  for (const auto& [name, text] : overrides) {
    const std::string_view value = trimmed_config_value(text);
    const ResourceConfigKey* key = find_resource_key(kGroupKeys, name);
    if (!key) return fail(weir::ErrorCode::kInvalid, "Unknown group config name: " + name);
    if (auto ok = check_config_value(key->key, value); !ok) return ok;
    if (name == "streams.assignor.name") {
      const std::vector<std::string> known = config_list_elements(broker.text("group.streams.assignors"));
      if (std::find(known.begin(), known.end(), value) == known.end()) {
        return fail(weir::ErrorCode::kInvalid,
                    fmt::format("streams.assignor.name '{}' is not a registered task assignor. Registered assignors are: [{}].",
                                value, fmt::join(known, ", ")));
      }
    }
    if (name == "errors.deadletterqueue.topic.name" && value.starts_with("__")) {
      return fail(weir::ErrorCode::kInvalid, name + ": DLQ topic name must not start with '__'");
    }
    if (name == "share.auto.offset.reset" && value != "latest" && value != "earliest" && !value.starts_with("by_duration:P")) {
      return fail(
          weir::ErrorCode::kInvalid,
          fmt::format("Invalid value {} for configuration {}: Must be latest, earliest or by_duration:<duration>", value, name));
    }
  }
  for (const GroupBounds& bounds : kGroupBounds) {
    if (auto ok = check_between(overrides, broker, bounds); !ok) return ok;
  }
  for (const char* kind : {"consumer", "share", "streams"}) {
    const auto in_force = [&](const char* what) {
      const ResourceConfigKey& key = *find_resource_key(kGroupKeys, fmt::format("{}.{}", kind, what));
      return parse_config_integer(effective_resource_config(key, overrides, broker, ConfigSource::kGroup).value);
    };
    if (in_force("session.timeout.ms") <= in_force("heartbeat.interval.ms")) {
      return fail(weir::ErrorCode::kInvalid,
                  fmt::format("{0}.session.timeout.ms must be greater than {0}.heartbeat.interval.ms", kind));
    }
  }
  return {};
}

Result<void> check_group_settings(const BrokerConfig& broker) {
  for (const GroupBounds& bounds : kGroupBounds) {
    const char* own = find_resource_key(kGroupKeys, bounds.key)->synonyms[0].broker_key;
    if (bounds.low) {
      if (auto ok = check_order(broker, bounds.low, bounds.high); !ok) return ok;
      if (auto ok = check_order(broker, bounds.low, own); !ok) return ok;
    }
    if (auto ok = check_order(broker, own, bounds.high); !ok) return ok;
  }
  for (const char* kind : {"consumer", "share", "streams"}) {
    const std::string interval = fmt::format("group.{}.heartbeat.interval.ms", kind);
    const std::string timeout = fmt::format("group.{}.session.timeout.ms", kind);
    if (broker.integer(interval) >= broker.integer(timeout)) {
      return fail(weir::ErrorCode::kInvalid, fmt::format("{} must be less than {}", interval, timeout));
    }
  }
  if (config_list_elements(broker.text("group.consumer.assignors")).empty()) {
    return fail(weir::ErrorCode::kInvalid, "group.consumer.assignors must not be empty");
  }
  const std::vector<std::string> protocols = config_list_elements(broker.text("group.coordinator.rebalance.protocols"));
  if (std::find(protocols.begin(), protocols.end(), "classic") == protocols.end()) {
    return fail(weir::ErrorCode::kInvalid, "group.coordinator.rebalance.protocols must have classic in it");
  }
  return {};
}

Result<void> check_client_metrics_configs(const ConfigOverrides& overrides) {
  for (const auto& [name, value] : overrides) {
    const ResourceConfigKey* key = find_resource_key(kClientMetricsKeys, name);
    if (!key) return fail(weir::ErrorCode::kInvalid, "Unknown client metrics configuration: " + name);
    if (auto ok = check_config_value(key->key, value); !ok) return ok;
    if (name == "interval.ms") {
      const int64_t interval_ms = parse_config_integer(value);
      if (interval_ms < 100 || interval_ms > 3'600'000) {
        return fail(weir::ErrorCode::kInvalid,
                    fmt::format("Invalid value {} for interval.ms, interval must be between 100 and 3600000 (1 hour)", value));
      }
    }
    if (name != "match") continue;
    for (const std::string& pattern : config_list_elements(value)) {
      if (!parse_client_match(pattern)) return fail(weir::ErrorCode::kUnsupported, "Illegal client matching pattern: " + pattern);
    }
  }
  return {};
}

EffectiveConfig effective_resource_config(const ResourceConfigKey& key, const ConfigOverrides& overrides,
                                          const BrokerConfig& broker, ConfigSource own) {
  const auto it = overrides.find(std::string_view(key.key.name));
  if (it != overrides.end()) return {it->second, own, nullptr};
  return topic_config_default(key, broker);
}

}  // namespace weir::broker
