#include "broker/metadata/change_log.h"

#include <fmt/format.h>

#include <iterator>

#include "base/printable.h"
#include "broker/config/config_key.h"

namespace weir::broker {

namespace {

std::string_view kind_of(ConfigResourceType type) {
  switch (type) {
    case ConfigResourceType::kTopic:
      return "topic";
    case ConfigResourceType::kBroker:
      return "broker";
    case ConfigResourceType::kBrokerLogger:
      return "broker logger";
    case ConfigResourceType::kClientMetrics:
      return "client metrics";
    case ConfigResourceType::kGroup:
      return "group";
  }
  return "resource";
}

bool hidden(ConfigResourceType type, const std::string& key) {
  if (type != ConfigResourceType::kBroker) return false;
  const ConfigKey* known = find_broker_config_key(key);
  return known == nullptr || known->type == ConfigType::kPassword;
}

void describe_overrides(ConfigResourceType type, const std::string& name, const ConfigOverrides& before,
                        const ConfigOverrides& after, std::vector<std::string>& lines) {
  const std::string resource = resource_text(type, name);
  const auto tell = [&](const std::string& key, const std::string* from, const std::string* to) {
    lines.push_back(fmt::format("Configuration of {}: {} changed from {} to {}", resource, key, value_text(type, key, from),
                                value_text(type, key, to)));
  };
  for (const auto& [key, value] : before) {
    const auto now = after.find(key);
    if (now == after.end()) tell(key, &value, nullptr);
    else if (now->second != value) tell(key, &value, &now->second);
  }
  for (const auto& [key, value] : after) {
    if (!before.contains(key)) tell(key, nullptr, &value);
  }
}

std::string described(const Topic& topic) { return fmt::format("Topic '{}' ({})", topic.name(), topic.id().to_string()); }

}  // namespace

std::string resource_text(ConfigResourceType type, std::string_view name) {
  if (!name.empty()) return fmt::format("{} {}", kind_of(type), quoted(name, 256));
  return type == ConfigResourceType::kBroker ? "all brokers" : fmt::format("a {} without a name", kind_of(type));
}

std::string value_text(ConfigResourceType type, const std::string& key, const std::string* value) {
  if (value == nullptr) return "the default";
  if (hidden(type, key)) return "(hidden)";
  return quoted(*value, 256);
}

std::vector<std::string> describe_topic_change(const Topic* before, const Topic* after) {
  std::vector<std::string> lines;
  if (before == nullptr) {
    std::string line = fmt::format("{} created with {} partition{}", described(*after), after->partition_count(),
                                   after->partition_count() == 1 ? "" : "s");
    for (const auto& [key, value] : after->record.configs) {
      fmt::format_to(std::back_inserter(line), ", {}={}", key, value_text(ConfigResourceType::kTopic, key, &value));
    }
    lines.push_back(std::move(line));
  } else if (after == nullptr) {
    lines.push_back(described(*before) + " deleted");
  } else {
    if (before->partition_count() != after->partition_count()) {
      lines.push_back(fmt::format("{}: partitions changed from {} to {}", described(*after), before->partition_count(),
                                  after->partition_count()));
    }
    describe_overrides(ConfigResourceType::kTopic, after->name(), before->record.configs, after->record.configs, lines);
  }
  return lines;
}

std::vector<std::string> describe_config_change(const ConfigRecord* before, const ConfigRecord& after) {
  std::vector<std::string> lines;
  describe_overrides(after.type, after.name, before ? before->overrides : ConfigOverrides(), after.overrides, lines);
  return lines;
}

std::vector<std::string> describe_feature_change(const FeaturesRecord& before, const FeaturesRecord& after) {
  std::vector<std::string> lines;
  for (const auto& [name, level] : after.levels) {
    const auto old = before.levels.find(name);
    const int from = old == before.levels.end() ? 0 : old->second;
    if (from != level) lines.push_back(fmt::format("Feature {} changed from level {} to {}", name, from, level));
  }
  return lines;
}

}  // namespace weir::broker
