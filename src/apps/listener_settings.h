// Which addresses the settings name: for clients, for controllers, for HTTP.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "broker/config/broker_config.h"
#include "broker/config/listeners.h"
#include "runtime/loop.h"

namespace weir::apps {

Result<std::vector<broker::ListenerInfo>> client_listeners(const broker::BrokerConfig& config);

// Names of the listeners that are not opened: Kafka's brokers that are controllers as well have some that clients do not use.
std::vector<std::string> controller_listeners(const broker::BrokerConfig& config);

// None if it is off.
Result<std::optional<runtime::Endpoint>> http_listener(const broker::BrokerConfig& config);

}  // namespace weir::apps
