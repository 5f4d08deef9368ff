// `/configs/<kind>/<name>`: the overrides of one broker (of all brokers, if the name is empty), group or client metrics
// subscription. The overrides of a topic are in the topic's entry. A resource without overrides has no entry.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "broker/config/broker_config.h"

namespace weir::broker {

// As on the wire.
enum class ConfigResourceType : int8_t { kTopic = 2, kBroker = 4, kBrokerLogger = 8, kClientMetrics = 16, kGroup = 32 };

struct ConfigRecord {
  static constexpr std::string_view kPrefix = "/configs/";

  ConfigResourceType type{};  // of kBroker, kClientMetrics, kGroup; in the key
  std::string name;           // in the key
  ConfigOverrides overrides;

  bool operator==(const ConfigRecord&) const = default;
  std::string key() const { return key_of(type, name); }
  std::string encode() const;
  static std::string key_of(ConfigResourceType type, std::string_view name);
  static Result<ConfigRecord> decode(std::string_view key, std::string_view value);
};

}  // namespace weir::broker
