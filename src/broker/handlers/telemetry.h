// GetTelemetrySubscriptions (key 71) and PushTelemetry (key 72), version 0 (KIP-714). Clients learn which of their metrics the
// client-metrics resources ask for, and push them.
//
// Pushed metrics are checked and shown at /metrics until the client ends (docs/observability.md). Kafka hands them to a plugin,
// and here is none.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_get_telemetry_subscriptions(Broker& broker, RequestContextPtr context);
void handle_push_telemetry(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
