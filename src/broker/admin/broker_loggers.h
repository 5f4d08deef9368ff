// The broker's loggers as resources of DescribeConfigs and IncrementalAlterConfigs: one for each module that logs, and
// `root` for modules without a level of their own. The levels are Kafka's. TRACE logs as much as DEBUG, and FATAL nothing.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "broker/admin/config_changes.h"

namespace weir::broker {

// Levels in force, by name.
std::map<std::string, std::string> broker_loggers();
Controller::Outcome change_loggers(const std::vector<ConfigChange>& changes, bool validate_only);

}  // namespace weir::broker
