// FindCoordinator (key 10), versions 0-6, one key or (from 4 on) many. This broker coordinates everything.
//
// Deviation from Apache Kafka 4.4: a first request for a group or a transaction is answered when the internal topic is there.
// Kafka answers COORDINATOR_NOT_AVAILABLE meanwhile.
#pragma once

#include "broker/coordinators/coordinators.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_find_coordinator(Coordinators& coordinators, RequestContextPtr context);

}  // namespace weir::broker
