#include "broker/metadata/usable_overrides.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "broker/config/topic_config.h"

namespace weir::broker {

namespace {

template <typename Check>
bool drop_unusable(ConfigOverrides& overrides, const std::string& prefix, const std::string& of, const Check& check) {
  bool decides = false;
  const auto dropped = std::erase_if(overrides, [&](const auto& override) {
    const Result<void> valid = check(override);
    if (valid) return false;
    const std::string_view name = std::string_view(override.first).substr(std::min(prefix.size(), override.first.size()));
    decides |= name.starts_with("retention.") || name == "cleanup.policy";
    log_warn("metadata", "{}: the stored configuration {} is ignored: {}", of, override.first, valid.error().message);
    return true;
  });
  if (!decides) return dropped > 0;
  for (const auto& [name, value] : {std::pair("cleanup.policy", "delete"), {"retention.ms", "-1"}, {"retention.bytes", "-1"}}) {
    overrides.insert_or_assign(prefix + name, value);
  }
  log_error("metadata",
            "{}: what decides over deletion cannot be read, so nothing is deleted for its age or size, nor compacted. "
            "Set {}cleanup.policy, {}retention.ms and {}retention.bytes anew",
            of, prefix, prefix, prefix);
  return true;
}

}  // namespace

bool drop_unusable_overrides(TopicRecord& topic) {
  const auto check = [](const auto& override) { return check_topic_config(override.first, override.second); };
  return drop_unusable(topic.configs, "", "topic " + topic.name, check);
}

bool drop_unusable_overrides(ConfigRecord& broker) {
  const auto check = [](const auto& override) { return check_dynamic_configs({override}); };
  return drop_unusable(broker.overrides, "log.", "the broker", check);
}

}  // namespace weir::broker
