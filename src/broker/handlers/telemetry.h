// GetTelemetrySubscriptions (key 71) and PushTelemetry (key 72), version 0 (KIP-714): clients learn which of their metrics
// are wanted, by the client-metrics resources, and push them.
//
// What arrives is checked and shown at /metrics until the client ends (docs/observability.md): Kafka hands it to a
// plugin, of which there is none.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_get_telemetry_subscriptions(Broker& broker, RequestContextPtr context);
void handle_push_telemetry(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
