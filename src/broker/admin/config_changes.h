// The effect of a request for other configs on one resource. Pure functions of the present overrides and the configuration in
// force, for AlterConfigs and IncrementalAlterConfigs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/config/broker_config.h"
#include "broker/metadata/config_record.h"
#include "broker/metadata/controller.h"

namespace weir::broker {

enum class ConfigOperation : int8_t { kSet = 0, kDelete = 1, kAppend = 2, kSubtract = 3 };

struct ConfigChange {
  std::string name;
  int8_t operation = 0;  // ConfigOperation, or the client's number in its place
  std::optional<std::string> value;
};

// One resource of a request.
struct ResourceChange {
  int8_t type = 0;  // ConfigResourceType, or the client's number in its place
  std::string name;
  std::vector<ConfigChange> changes;
  bool replaces_all = false;  // AlterConfigs: a config that is not named goes back to its default
};

// Returns the fault of the request itself: an unknown kind of resource, another broker's id, a name twice, no value.
Controller::Outcome check_change(const ResourceChange& change, int32_t node_id);
// Makes `overrides` the new ones, or returns why they cannot be. For a kind of resource that is stored.
Controller::Outcome apply_change(const ResourceChange& change, ConfigOverrides& overrides, const BrokerConfig& broker);

}  // namespace weir::broker
