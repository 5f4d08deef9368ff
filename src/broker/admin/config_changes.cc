#include "broker/admin/config_changes.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>

#include "broker/config/resource_config.h"
#include "broker/config/topic_config.h"
#include "broker/metadata/topic_name.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;

Controller::Outcome refusal(ErrorCode error, std::string message) { return {error, std::move(message), nullptr}; }

std::string join(const std::vector<std::string>& elements) {
  std::string list;
  for (const std::string& element : elements) list += (list.empty() ? "" : ",") + element;
  return list;
}

// The key's row, whatever its kind; nullptr if there is none.
const ConfigKey* find_key(ConfigResourceType type, std::string_view name) {
  const ResourceConfigKey* key = nullptr;
  switch (type) {
    case ConfigResourceType::kTopic:
      key = find_topic_config_key(name);
      break;
    case ConfigResourceType::kGroup:
      key = find_resource_key(group_resource_keys(), name);
      break;
    case ConfigResourceType::kClientMetrics:
      key = find_resource_key(client_metrics_keys(), name);
      break;
    case ConfigResourceType::kBroker:
      return find_broker_config_key(name);
    case ConfigResourceType::kBrokerLogger:
      return nullptr;
  }
  return key ? &key->key : nullptr;
}

// The elements of a list before a client adds to it.
std::string list_in_force(ConfigResourceType type, const std::string& name, const ConfigOverrides& overrides,
                          const BrokerConfig& broker) {
  if (const auto own = overrides.find(name); own != overrides.end()) return own->second;
  if (type == ConfigResourceType::kTopic) return topic_config_default(*find_topic_config_key(name), broker).value;
  if (type == ConfigResourceType::kBroker) return std::string(broker.text(name));
  const char* default_value = find_key(type, name)->default_value;
  return default_value ? default_value : "";
}

Controller::Outcome change_list(ConfigResourceType type, const ConfigChange& change, ConfigOverrides& overrides,
                                const BrokerConfig& broker) {
  const bool append = change.operation == static_cast<int8_t>(ConfigOperation::kAppend);
  const ConfigKey* key = find_key(type, change.name);
  if (key == nullptr || key->type != ConfigType::kList) {
    return refusal(ErrorCode::kInvalidConfig,
                   fmt::format("Can't {} to key {} because its type is not LIST.", append ? "APPEND" : "SUBTRACT", change.name));
  }
  std::vector<std::string> elements = config_list_elements(list_in_force(type, change.name, overrides, broker));
  for (const std::string& element : config_list_elements(*change.value)) {
    const auto present = std::find(elements.begin(), elements.end(), element);
    if (append && present == elements.end()) elements.push_back(element);
    if (!append && present != elements.end()) elements.erase(present);
  }
  overrides.insert_or_assign(change.name, join(elements));
  return {};
}

// Of a list, as Kafka stores it; other values as they are.
std::string without_duplicates(const ConfigKey* key, const std::string& value) {
  if (key == nullptr || key->type != ConfigType::kList) return value;
  const std::vector<std::string> elements = config_list_elements(value);
  std::vector<std::string> once;
  for (const std::string& element : elements) {
    if (std::find(once.begin(), once.end(), element) == once.end()) once.push_back(element);
  }
  return once.size() == elements.size() ? value : join(once);
}

Controller::Outcome check_result(ConfigResourceType type, const ConfigOverrides& overrides, const BrokerConfig& broker) {
  for (const auto& [name, value] : overrides) {
    if (value.size() > static_cast<size_t>(std::numeric_limits<int16_t>::max())) {
      return refusal(ErrorCode::kInvalidConfig,
                     "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.");
    }
  }
  Result<void> valid;
  ErrorCode error = ErrorCode::kInvalidConfig;
  switch (type) {
    case ConfigResourceType::kTopic:
      valid = check_topic_configs(overrides, broker);
      break;
    case ConfigResourceType::kGroup:
      valid = check_group_configs(overrides, broker);
      break;
    case ConfigResourceType::kClientMetrics:
      valid = check_client_metrics_configs(overrides);
      // Kafka tells unknown keys and intervals from bad patterns so.
      if (!valid && valid.error().code != weir::ErrorCode::kUnsupported) error = ErrorCode::kInvalidRequest;
      break;
    case ConfigResourceType::kBroker:
      valid = check_dynamic_configs(overrides);
      error = ErrorCode::kInvalidRequest;
      break;
    case ConfigResourceType::kBrokerLogger:
      break;
  }
  if (!valid) return refusal(error, valid.error().message);
  return {};
}

Controller::Outcome check_name(const ResourceChange& change, int32_t node_id) {
  switch (static_cast<ConfigResourceType>(change.type)) {
    case ConfigResourceType::kTopic:
      if (change.name.empty()) return refusal(ErrorCode::kInvalidRequest, "Default topic resources are not allowed.");
      if (auto fault = topic_name_fault(change.name)) return refusal(ErrorCode::kInvalidTopicException, std::move(*fault));
      return {};
    case ConfigResourceType::kGroup:
      if (change.name.empty()) return refusal(ErrorCode::kInvalidRequest, "Default group resources are not allowed.");
      return {};
    case ConfigResourceType::kClientMetrics:
      if (change.name.empty()) return refusal(ErrorCode::kInvalidRequest, "Subscription name can't be empty");
      return {};
    case ConfigResourceType::kBroker:
    case ConfigResourceType::kBrokerLogger: {
      const bool of_all = change.name.empty() && static_cast<ConfigResourceType>(change.type) == ConfigResourceType::kBroker;
      if (of_all) return {};
      int32_t id = 0;
      const char* end = change.name.data() + change.name.size();
      const auto [at, error] = std::from_chars(change.name.data(), end, id);
      if (error != std::errc() || at != end || change.name.empty()) {
        return refusal(ErrorCode::kInvalidRequest, "Node id must be an integer, but it is: " + change.name);
      }
      if (id != node_id && static_cast<ConfigResourceType>(change.type) == ConfigResourceType::kBrokerLogger) {
        return refusal(ErrorCode::kInvalidRequest, fmt::format("Unexpected node id. Expected {}, but received {}", node_id, id));
      }
      if (id != node_id) {
        return refusal(ErrorCode::kInvalidRequest,
                       fmt::format("Unexpected broker id, expected {}, but received {}", node_id, change.name));
      }
      return {};
    }
  }
  return refusal(ErrorCode::kInvalidRequest, fmt::format("Unknown resource type {}", change.type));
}

}  // namespace

Controller::Outcome check_change(const ResourceChange& change, int32_t node_id) {
  std::set<std::string_view> names;
  std::string without_value;
  for (const ConfigChange& config : change.changes) {
    if (!names.insert(config.name).second) return refusal(ErrorCode::kInvalidRequest, "Error due to duplicate config keys");
    const bool deletes = !change.replaces_all && config.operation == static_cast<int8_t>(ConfigOperation::kDelete);
    if (!deletes && !config.value) without_value += (without_value.empty() ? "" : ", ") + config.name;
  }
  if (!without_value.empty()) return refusal(ErrorCode::kInvalidRequest, "Null value not supported for : " + without_value);
  if (auto outcome = check_name(change, node_id); outcome.error != ErrorCode::kNone) return outcome;
  for (const ConfigChange& config : change.changes) {
    if (config.operation < 0 || config.operation > static_cast<int8_t>(ConfigOperation::kSubtract)) {
      if (static_cast<ConfigResourceType>(change.type) == ConfigResourceType::kBrokerLogger) {
        return refusal(ErrorCode::kInvalidRequest,
                       fmt::format("Unknown operation type {} is not allowed for the BROKER_LOGGER resource", config.operation));
      }
      return refusal(ErrorCode::kInvalidRequest, fmt::format("Unknown operations type {}", config.operation));
    }
  }
  return {};
}

Controller::Outcome apply_change(const ResourceChange& change, ConfigOverrides& overrides, const BrokerConfig& broker) {
  const auto type = static_cast<ConfigResourceType>(change.type);
  if (change.replaces_all) overrides.clear();
  for (const ConfigChange& config : change.changes) {
    switch (static_cast<ConfigOperation>(config.operation)) {
      case ConfigOperation::kSet:
        overrides.insert_or_assign(config.name, without_duplicates(find_key(type, config.name), *config.value));
        break;
      case ConfigOperation::kDelete:
        overrides.erase(config.name);
        break;
      case ConfigOperation::kAppend:
      case ConfigOperation::kSubtract:
        if (auto outcome = change_list(type, config, overrides, broker); outcome.error != ErrorCode::kNone) return outcome;
        break;
    }
  }
  return check_result(type, overrides, broker);
}

}  // namespace weir::broker
