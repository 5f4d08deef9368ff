// AlterConfigs (key 33), versions 0-2, and IncrementalAlterConfigs (key 44), versions 0-1: configs of topics, of this
// broker or all, of groups and client metrics subscriptions, and (key 44 only) levels of the broker's loggers.
//
// Changes are durable and in force on every shard before the answer. Levels of loggers are in force but not stored, as in Kafka.
//
// Deviation: the broker refuses a broker key that acts at start only, or not at all here, and says why. Kafka would take some of
// them.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_alter_configs(Broker& broker, RequestContextPtr context);
void handle_incremental_alter_configs(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
