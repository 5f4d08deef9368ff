#include "broker/config/config_key.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
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

std::unexpected<Error> bad(const ConfigKey& key, std::string_view value, std::string_view want) {
  // Kafka's words; an empty value would not be seen.
  return fail(weir::ErrorCode::kInvalid,
              fmt::format("Invalid value {} for configuration {}: {}", value.empty() ? "''" : value, key.name, want));
}

// Java takes a number with its sign, from_chars one without a plus.
std::string_view without_plus(std::string_view text) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  return text;
}

bool parse_integer(std::string_view text, int64_t& value) {
  text = without_plus(trimmed_config_value(text));
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

bool parse_double(std::string_view text, double& value) {
  text = without_plus(trimmed_config_value(text));
  // Java takes a number with the suffix of its type.
  if (text.size() > 1 && std::string_view("dDfF").find(text.back()) != std::string_view::npos) text.remove_suffix(1);
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

// As Double.toString writes it.
std::string java_double(double value) {
  const double size = std::abs(value);
  if (size == 0 || (size >= 1e-3 && size < 1e7)) {
    std::string text = fmt::format("{}", value);
    return text.find('.') == std::string::npos ? text + ".0" : text;
  }
  // The shortest digits that give the value: 1.5e-05.
  std::array<char, 32> room;
  const auto [end, error] = std::to_chars(room.data(), room.data() + room.size(), value, std::chars_format::scientific);
  const std::string_view text(room.data(), static_cast<size_t>(end - room.data()));
  const size_t e = text.find('e');
  const std::string_view digits = text.substr(0, e);
  const char* const exponent = text.data() + e + (text[e + 1] == '+' ? 2 : 1);
  int power = 0;
  std::from_chars(exponent, end, power);
  return fmt::format("{}{}E{}", digits, digits.find('.') == std::string_view::npos ? ".0" : "", power);
}

// With the empty ones; none of an empty list.
std::vector<std::string_view> all_elements(std::string_view list) {
  std::vector<std::string_view> elements;
  if (list.empty()) return elements;
  for (;;) {
    const size_t comma = list.find(',');
    elements.push_back(trimmed_config_value(list.substr(0, comma)));
    if (comma == std::string_view::npos) return elements;
    list.remove_prefix(comma + 1);
  }
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

std::string_view trimmed_config_value(std::string_view value) {
  const auto blank = [](char c) { return static_cast<unsigned char>(c) <= ' '; };
  while (!value.empty() && blank(value.front())) value.remove_prefix(1);
  while (!value.empty() && blank(value.back())) value.remove_suffix(1);
  return value;
}

std::string described_config_value(const ConfigKey& key, std::string_view value) {
  value = trimmed_config_value(value);
  int64_t integer = 0;
  double number = 0;
  switch (key.type) {
    case ConfigType::kBoolean:
      return lower_case(value);
    case ConfigType::kShort:
    case ConfigType::kInt:
    case ConfigType::kLong:
      return parse_integer(value, integer) ? std::to_string(integer) : std::string(value);
    case ConfigType::kDouble:
      return parse_double(value, number) ? java_double(number) : std::string(value);
    case ConfigType::kList:
      return fmt::format("{}", fmt::join(all_elements(value), ","));
    case ConfigType::kString:
    case ConfigType::kPassword:
    case ConfigType::kClass:
      return std::string(value);
  }
  return std::string(value);
}

Result<void> check_config_value(const ConfigKey& key, std::string_view text) {
  const std::string_view value = trimmed_config_value(text);
  switch (key.type) {
    case ConfigType::kBoolean: {
      const std::string word = lower_case(value);
      if (word != "true" && word != "false") return bad(key, value, "Expected value to be either true or false");
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
      for (const std::string_view element : all_elements(value)) {
        if (auto ok = check_choice(key, element); !ok) return ok;
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

bool parse_config_boolean(std::string_view value) { return lower_case(trimmed_config_value(value)) == "true"; }

std::vector<std::string> config_list_elements(std::string_view list) {
  std::vector<std::string> elements;
  for (const std::string_view element : all_elements(list)) {
    if (!element.empty()) elements.emplace_back(element);
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
