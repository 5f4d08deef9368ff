#include "broker/config/config_key.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "base/ascii_case.h"
#include "base/nearest_name.h"

namespace weir::broker {

namespace {

std::vector<ConfigKey> gather_keys() {
  std::vector<ConfigKey> all;
  for (const auto part : {log_config_keys(), network_config_keys(), group_config_keys(), security_config_keys(),
                          cluster_config_keys(), own_config_keys(), internal_config_keys()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  std::sort(all.begin(), all.end(), [](const ConfigKey& a, const ConfigKey& b) { return std::string_view(a.name) < b.name; });
  return all;
}

const std::vector<ConfigKey>& all_keys() {
  static const std::vector<ConfigKey> keys = gather_keys();  // constant data, built on first use
  return keys;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

std::unexpected<Error> bad(const ConfigKey& key, std::string_view value, std::string_view want) {
  // Kafka's words; an empty value would not be seen.
  return fail(weir::ErrorCode::kInvalid,
              fmt::format("Invalid value {} for configuration {}: {}", value.empty() ? "''" : value, key.name, want));
}

bool parse_integer(std::string_view text, int64_t& value) {
  text = trim(text);
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

bool parse_double(std::string_view text, double& value) {
  text = trim(text);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

Result<void> check_integer(const ConfigKey& key, std::string_view text) {
  int64_t value = 0;
  if (!parse_integer(text, value)) return bad(key, text, "Not a number of type " + upper_case(config_type_name(key.type)));
  int64_t low = ConfigKey::kNoMin;
  int64_t high = ConfigKey::kNoMax;
  if (key.type == ConfigType::kInt) low = INT32_MIN, high = INT32_MAX;
  if (key.type == ConfigType::kShort) low = INT16_MIN, high = INT16_MAX;
  low = std::max(low, key.min);
  high = std::min(high, key.max);
  if (key.minus_one && value == -1) return {};
  if (key.minus_one && value < low && key.max == ConfigKey::kNoMax) {
    return bad(key, text, fmt::format("Value must be unlimited (-1) or greater than or equal to {}", low));
  }
  if (key.minus_one && (value < low || value > high)) {
    return bad(key, text, fmt::format("Value must be between {} and {} or equal to -1", low, high));
  }
  if (value < low) return bad(key, text, fmt::format("Value must be at least {}", low));
  if (value > high) return bad(key, text, fmt::format("Value must be no more than {}", high));
  return {};
}

Result<void> check_double(const ConfigKey& key, std::string_view text) {
  double value = 0;
  if (!parse_double(text, value) || !std::isfinite(value)) return bad(key, text, "Not a number of type DOUBLE");
  if (key.min != ConfigKey::kNoMin && value < static_cast<double>(key.min)) {
    return bad(key, text, fmt::format("Value must be at least {}", key.min));
  }
  if (key.max != ConfigKey::kNoMax && value > static_cast<double>(key.max)) {
    return bad(key, text, fmt::format("Value must be no more than {}", key.max));
  }
  return {};
}

bool is_choice(const char* choices, std::string_view value) {
  for (std::string_view left = choices; !left.empty();) {
    const size_t bar = left.find('|');
    if (left.substr(0, bar) == value) return true;
    if (bar == std::string_view::npos) break;
    left.remove_prefix(bar + 1);
  }
  return false;
}

// Choices written in lower case only are compared without regard to case, as Kafka does for those keys.
Result<void> check_choice(const ConfigKey& key, std::string_view value) {
  if (!key.choices || is_choice(key.choices, value)) return {};
  if (lower_case(key.choices) == key.choices && is_choice(key.choices, lower_case(value)) && key.type == ConfigType::kString &&
      std::string_view(key.name) != "compression.type") {
    return {};
  }
  std::string list;
  for (const char c : std::string_view(key.choices)) list += c == '|' ? std::string(", ") : std::string(1, c);
  return bad(key, value, fmt::format("String must be one of: {}", list));
}

bool is_replica(std::string_view text) {
  const auto digits = [](std::string_view part) {
    return !part.empty() && std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
  };
  const size_t colon = text.find(':');
  return colon != std::string_view::npos && digits(text.substr(0, colon)) && digits(text.substr(colon + 1));
}

Result<void> check_throttled_replicas(const ConfigKey& key, std::string_view value) {
  const std::vector<std::string> elements = config_list_elements(value);
  if (elements.size() == 1 && elements[0] == "*") return {};
  if (std::all_of(elements.begin(), elements.end(), is_replica)) return {};
  return bad(key, value,
             "It must be the literal '*' or a list of replicas as [partitionId]:[brokerId],[partitionId]:[brokerId],...");
}

}  // namespace

std::span<const ConfigKey> broker_config_keys() { return all_keys(); }

bool is_former_kafka_key(std::string_view name) {
  static constexpr std::string_view kNames[] = {"advertised.host.name",
                                                "advertised.port",
                                                "broker.id.generation.enable",
                                                "control.plane.listener.name",
                                                "controlled.shutdown.max.retries",
                                                "controlled.shutdown.retry.backoff.ms",
                                                "delegation.token.master.key",
                                                "enable.zookeeper",
                                                "host.name",
                                                "inter.broker.protocol.version",
                                                "leader.imbalance.per.broker.percentage",
                                                "log.cleanup.interval.mins",
                                                "log.flush.interval",
                                                "log.message.downconversion.enable",
                                                "log.message.format.version",
                                                "log.message.timestamp.difference.max.ms",
                                                "offsets.commit.required.acks",
                                                "password.encoder.cipher.algorithm",
                                                "password.encoder.iterations",
                                                "password.encoder.key.length",
                                                "password.encoder.keyfactory.algorithm",
                                                "password.encoder.old.secret",
                                                "password.encoder.secret",
                                                "port",
                                                "quota.consumer.default",
                                                "quota.producer.default",
                                                "replica.lag.max.messages",
                                                "reserved.broker.max.id"};
  return name.starts_with("zookeeper.") || std::ranges::find(kNames, name) != std::end(kNames);
}

const ConfigKey* find_broker_config_key(std::string_view name) {
  const auto& keys = all_keys();
  const auto it = std::lower_bound(keys.begin(), keys.end(), name,
                                   [](const ConfigKey& key, std::string_view n) { return std::string_view(key.name) < n; });
  return it != keys.end() && it->name == name ? &*it : nullptr;
}

Result<void> check_config_value(const ConfigKey& key, std::string_view value) {
  switch (key.type) {
    case ConfigType::kBoolean: {
      const std::string text = lower_case(trim(value));
      if (text != "true" && text != "false") return bad(key, value, "Expected value to be either true or false");
      return {};
    }
    case ConfigType::kShort:
    case ConfigType::kInt:
    case ConfigType::kLong:
      return check_integer(key, value);
    case ConfigType::kDouble:
      return check_double(key, value);
    case ConfigType::kList:
      if (key.throttled_replicas) return check_throttled_replicas(key, value);
      for (std::string_view left = value; !left.empty();) {
        const size_t comma = left.find(',');
        if (auto ok = check_choice(key, trim(left.substr(0, comma))); !ok) return ok;
        if (comma == std::string_view::npos) break;
        left.remove_prefix(comma + 1);
      }
      return {};
    case ConfigType::kString:
      return check_choice(key, value);
    case ConfigType::kPassword:
    case ConfigType::kClass:
      return {};
  }
  return {};
}

std::string_view renamed_own_key(std::string_view name) {
  return name == "weir.unmerged.bytes.max" ? "weir.dirty.bytes.max" : std::string_view();
}

std::string_view nearest_broker_key(std::string_view name) {
  std::vector<std::string_view> names;
  for (const ConfigKey& key : all_keys()) names.emplace_back(key.name);
  return nearest_name(name, names);
}

int64_t parse_config_integer(std::string_view value) {
  int64_t result = 0;
  parse_integer(value, result);
  return result;
}

double parse_config_double(std::string_view value) {
  double result = 0;
  parse_double(value, result);
  return result;
}

bool parse_config_boolean(std::string_view value) { return lower_case(trim(value)) == "true"; }

std::vector<std::string> config_list_elements(std::string_view list) {
  std::vector<std::string> elements;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (const std::string_view element = trim(list.substr(0, comma)); !element.empty()) elements.emplace_back(element);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return elements;
}

std::string_view config_type_name(ConfigType type) {
  switch (type) {
    case ConfigType::kBoolean:
      return "boolean";
    case ConfigType::kShort:
      return "short";
    case ConfigType::kInt:
      return "int";
    case ConfigType::kLong:
      return "long";
    case ConfigType::kDouble:
      return "double";
    case ConfigType::kString:
      return "string";
    case ConfigType::kList:
      return "list";
    case ConfigType::kPassword:
      return "password";
    case ConfigType::kClass:
      return "class";
  }
  return "";
}

}  // namespace weir::broker
