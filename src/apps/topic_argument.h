// The text of --topic: NAME[:PARTITIONS][,KEY=VALUE...]. A part without '=' belongs to the value before it, so that
// lists need no quoting: t:3,cleanup.policy=compact,delete.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "broker/metadata/topic_record.h"

namespace weir::apps {

struct TopicArgument {
  std::string name;
  int32_t partitions = -1;  // -1: num.partitions
  broker::ConfigOverrides configs;
};

// Checks the syntax, the name, and each config by itself.
Result<TopicArgument> parse_topic_argument(std::string_view text);
// Checks them against each other and against the broker's configuration.
Result<void> check_topic_arguments(const std::vector<TopicArgument>& topics, const broker::BrokerConfig& config);

}  // namespace weir::apps
