// IncrementalAlterConfigs (key 44), versions 0-1: sets, deletes, appends to and subtracts from the overrides of topics. The
// new settings are durable and in force on every shard when the answer is sent.
//
// Deviation from Apache Kafka 4.4: only topics can be altered so far; other resources are answered INVALID_REQUEST.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_incremental_alter_configs(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
