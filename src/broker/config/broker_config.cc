#include "broker/config/broker_config.h"

#include <fmt/format.h>

#include "base/check.h"
#include "broker/config/properties_file.h"

namespace weir::broker {

Result<void> BrokerConfig::add_file(std::string_view text, std::string_view source) {
  auto properties = parse_properties(text);
  if (!properties) return fail(weir::ErrorCode::kInvalid, fmt::format("{}: {}", source, properties.error().message));
  for (const Property& property : *properties) {
    if (auto ok = set(property.key, property.value); !ok) {
      return fail(weir::ErrorCode::kInvalid, fmt::format("{}, line {}: {}", source, property.line, ok.error().message));
    }
  }
  return {};
}

Result<void> BrokerConfig::add_setting(std::string_view assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return fail(weir::ErrorCode::kInvalid, fmt::format("--set {}: write it as key=value", assignment));
  }
  return set(assignment.substr(0, equals), assignment.substr(equals + 1));
}

Result<void> BrokerConfig::set(std::string_view name, std::string_view value) {
  const ConfigKey* key = find_broker_config_key(name);
  if (!key) {
    const std::string_view near = nearest_broker_key(name);
    return fail(weir::ErrorCode::kInvalid, near.empty() ? fmt::format("unknown configuration '{}'", name)
                                                        : fmt::format("unknown configuration '{}'; did you mean '{}'?",
                                                                      name, near));
  }
  if (auto ok = check_config_value(*key, value); !ok) return ok;
  const std::string_view default_value = key->default_value ? key->default_value : "";
  if (key->support == ConfigSupport::kRefused && value != default_value) {
    return fail(weir::ErrorCode::kUnsupported, fmt::format("{} cannot be set: {}", name, key->doc));
  }
  values_.insert_or_assign(std::string(name), std::string(value));
  return {};
}

std::string_view BrokerConfig::text(std::string_view name) const {
  const auto it = values_.find(name);
  if (it != values_.end()) return it->second;
  const ConfigKey* key = find_broker_config_key(name);
  WEIR_CHECK(key != nullptr);
  return key->default_value ? key->default_value : "";
}

bool BrokerConfig::is_null(std::string_view name) const {
  if (is_set(name)) return false;
  const ConfigKey* key = find_broker_config_key(name);
  return !key || !key->default_value;
}

std::vector<const ConfigKey*> BrokerConfig::without_effect() const {
  std::vector<const ConfigKey*> result;
  for (const auto& [name, value] : values_) {
    const ConfigKey* key = find_broker_config_key(name);
    if (key->support == ConfigSupport::kNoEffect) result.push_back(key);
  }
  return result;
}

int32_t BrokerConfig::node_id() const {
  return static_cast<int32_t>(integer(!is_set("node.id") && is_set("broker.id") ? "broker.id" : "node.id"));
}

}  // namespace weir::broker
