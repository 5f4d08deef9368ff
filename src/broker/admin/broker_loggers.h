// The broker's loggers as resources of DescribeConfigs and IncrementalAlterConfigs: one for each module that logs, and
// `root` for those without a level of their own. Kafka's levels; TRACE is as much as DEBUG, FATAL says nothing here.
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
