#include "broker/config/broker_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "base/counted.h"
#include "broker/config/properties_file.h"

namespace weir::broker {

namespace {

constexpr size_t kFaultsShown = 20;

}  // namespace

Result<void> BrokerConfig::add_file(std::string_view text, std::string_view source) {
  auto properties = parse_properties(text);
  if (!properties) return fail(weir::ErrorCode::kInvalid, fmt::format("{}: {}", source, properties.error().message));
  std::string faults;
  size_t count = 0;
  for (const Property& property : *properties) {
    const auto ok = set(property.key, property.value);
    if (ok || ++count > kFaultsShown) continue;
    faults += fmt::format("{}{}, line {}: {}", faults.empty() ? "" : "\n", source, property.line, ok.error().message);
  }
  if (count > kFaultsShown)
    faults += fmt::format("\n{}: {} wrong", source, counted(count - kFaultsShown, "more line is", "more lines are"));
  if (count > 0) return fail(weir::ErrorCode::kInvalid, std::move(faults));
  return {};
}

Result<void> BrokerConfig::add_setting(std::string_view assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return fail(weir::ErrorCode::kInvalid, fmt::format("--set {}: write it as key=value", assignment));
  }
  return set(assignment.substr(0, equals), assignment.substr(equals + 1));
}

Result<void> BrokerConfig::set(std::string_view name, std::string_view text) {
  const std::string_view value = trimmed_config_value(text);
  const ConfigKey* key = find_broker_config_key(name);
  if (!key) {
    if (name.starts_with("listener.name.")) {
      return fail(weir::ErrorCode::kUnsupported,
                  fmt::format("{} cannot be set: settings of one listener, such as those of SASL and TLS, are not available in "
                              "this version. Take the line out.",
                              name));
    }
    if (is_former_kafka_key(name)) {
      return fail(weir::ErrorCode::kInvalid,
                  fmt::format("'{}' was a setting of Apache Kafka before version 4 and means nothing any "
                              "more: take the line out",
                              name));
    }
    if (const std::string_view now = renamed_own_key(name); !now.empty()) {
      return fail(weir::ErrorCode::kInvalid, fmt::format("'{}' is called '{}' now: change the name", name, now));
    }
    const std::string_view near = nearest_broker_key(name);
    return fail(weir::ErrorCode::kInvalid, near.empty()
                                               ? fmt::format("unknown configuration '{}'", name)
                                               : fmt::format("unknown configuration '{}'; did you mean '{}'?", name, near));
  }
  if (auto ok = check_config_value(*key, value); !ok) return ok;
  const std::string_view default_value = key->default_value ? key->default_value : "";
  if (key->support == ConfigSupport::kRefused && value != default_value) {
    return fail(weir::ErrorCode::kUnsupported, fmt::format("{} cannot be set: {}", name, key->doc));
  }
  values_.insert_or_assign(std::string(name), std::string(value));
  return {};
}

void BrokerConfig::set_dynamic(ConfigOverrides of_broker, ConfigOverrides of_all_brokers) {
  dynamic_of_broker_ = std::move(of_broker);
  dynamic_of_all_ = std::move(of_all_brokers);
}

const std::string* BrokerConfig::find(std::string_view name, ConfigSource& source) const {
  const std::pair<const ConfigOverrides*, ConfigSource> layers[] = {{&dynamic_of_broker_, ConfigSource::kDynamicBroker},
                                                                    {&dynamic_of_all_, ConfigSource::kDynamicDefaultBroker},
                                                                    {&values_, ConfigSource::kStaticBroker}};
  for (const auto& [layer, of] : layers) {
    const auto it = layer->find(name);
    if (it == layer->end()) continue;
    source = of;
    return &it->second;
  }
  return nullptr;
}

bool BrokerConfig::is_set(std::string_view name) const {
  ConfigSource source{};
  return find(name, source) != nullptr;
}

ConfigSource BrokerConfig::source(std::string_view name) const {
  ConfigSource source = ConfigSource::kDefault;
  find(name, source);
  return source;
}

std::string_view BrokerConfig::text(std::string_view name) const {
  ConfigSource source{};
  if (const std::string* value = find(name, source)) return trimmed_config_value(*value);
  const ConfigKey* key = find_broker_config_key(name);
  WEIR_CHECK(key != nullptr);
  return key->default_value ? key->default_value : "";
}

std::vector<ConfigSynonymValue> BrokerConfig::synonyms(std::string_view name) const {
  std::vector<ConfigSynonymValue> found;
  const std::vector<std::string_view> names = broker_key_synonyms(name);
  const auto add = [&](std::string_view key, std::string_view value, ConfigSource source) {
    const ConfigKey* row = find_broker_config_key(key);
    const bool sensitive = row && row->type == ConfigType::kPassword;
    found.push_back({key, sensitive ? std::nullopt : std::optional<std::string_view>(value), source});
  };
  const auto add_layer = [&](const ConfigOverrides& layer, ConfigSource source) {
    for (const std::string_view key : names) {
      if (const auto it = layer.find(key); it != layer.end()) add(key, it->second, source);
    }
  };
  add_layer(dynamic_of_broker_, ConfigSource::kDynamicBroker);
  add_layer(dynamic_of_all_, ConfigSource::kDynamicDefaultBroker);
  add_layer(values_, ConfigSource::kStaticBroker);
  for (const std::string_view key : names) {
    const ConfigKey* row = find_broker_config_key(key);
    if (row && row->default_value) add(key, row->default_value, ConfigSource::kDefault);
  }
  found.erase(found.begin(), std::find_if(found.begin(), found.end(), [&](const auto& s) { return s.name == name; }));
  return found;
}

bool BrokerConfig::is_null(std::string_view name) const {
  if (is_set(name)) return false;
  const ConfigKey* key = find_broker_config_key(name);
  return !key || !key->default_value;
}

std::optional<std::string> BrokerConfig::described(const ConfigKey& key) const {
  if (key.holds) return key.holds;
  const std::string_view name = key.name;
  if (name == "node.id" || name == "broker.id") return std::to_string(node_id());
  if (is_null(name)) return std::nullopt;
  return described_config_value(key, text(name));
}

std::vector<BrokerConfig::WithoutEffect> BrokerConfig::without_effect() const {
  std::vector<WithoutEffect> result;
  for (const auto& [name, value] : values_) {
    const ConfigKey* key = find_broker_config_key(name);
    if (key->support != ConfigSupport::kNoEffect) continue;
    const std::string_view usual = key->holds ? key->holds : key->default_value ? key->default_value : "";
    result.push_back({key, value != usual});
  }
  return result;
}

int32_t BrokerConfig::node_id() const {
  return static_cast<int32_t>(integer(!is_set("node.id") && is_set("broker.id") ? "broker.id" : "node.id"));
}

std::vector<std::string_view> broker_key_synonyms(std::string_view key) {
  static constexpr std::array<std::array<std::string_view, 3>, 3> kFamilies = {{
      {"log.retention.ms", "log.retention.minutes", "log.retention.hours"},
      {"log.roll.ms", "log.roll.hours"},
      {"log.roll.jitter.ms", "log.roll.jitter.hours"},
  }};
  for (const auto& family : kFamilies) {
    if (std::find(family.begin(), family.end(), key) == family.end()) continue;
    std::vector<std::string_view> names(family.begin(), family.end());
    std::erase(names, std::string_view());
    return names;
  }
  if (key == "log.flush.interval.ms") return {key, "log.flush.scheduler.interval.ms"};
  return {key};
}

Result<void> check_dynamic_configs(const ConfigOverrides& overrides) {
  for (const auto& [name, value] : overrides) {
    const ConfigKey* key = find_broker_config_key(name);
    if (!key) {
      const std::string_view near = nearest_broker_key(name);
      return fail(weir::ErrorCode::kInvalid, near.empty()
                                                 ? fmt::format("Unknown broker config name: {}", name)
                                                 : fmt::format("Unknown broker config name: {} (did you mean {}?)", name, near));
    }
    const bool taken = key->support == ConfigSupport::kWorks || (key->support == ConfigSupport::kNoEffect && key->dynamic);
    if (!taken) {
      return fail(weir::ErrorCode::kUnsupported, fmt::format("{} cannot be altered: {}", name, key->doc));
    }
    if (!key->dynamic) {
      return fail(weir::ErrorCode::kInvalid,
                  fmt::format("Cannot update these configs dynamically: [{}]. Set it in the broker's configuration file "
                              "and restart the broker.",
                              name));
    }
    if (auto ok = check_config_value(*key, value); !ok) return ok;
  }
  return {};
}

}  // namespace weir::broker
