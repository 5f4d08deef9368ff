// Lines of the log about changes of metadata: the topic or other resource, its old state and its new one. The controller adds the
// client that asked. Lines do not show values of passwords and of unknown keys.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "broker/metadata/config_record.h"
#include "broker/metadata/features_record.h"
#include "broker/metadata/metadata_image.h"

namespace weir::broker {

// "topic 'orders'", "all brokers".
std::string resource_text(ConfigResourceType type, std::string_view name);
// The value in quotes, cut to one line. "(hidden)" for a value that is or may be a secret, "the default" for no value.
std::string value_text(ConfigResourceType type, const std::string& key, const std::string* value);

// A line for each change. `before` is null for a new topic, `after` for a deleted one.
std::vector<std::string> describe_topic_change(const Topic* before, const Topic* after);
// `before` is null if nothing was set.
std::vector<std::string> describe_config_change(const ConfigRecord* before, const ConfigRecord& after);
std::vector<std::string> describe_feature_change(const FeaturesRecord& before, const FeaturesRecord& after);

}  // namespace weir::broker
