// FindCoordinator (key 10), versions 0-6, one key or (from 4 on) many. This broker coordinates everything.
//
// Deviations from Apache Kafka 4.4: a first request for a group is answered when the internal topic is there. Kafka answers
// COORDINATOR_NOT_AVAILABLE meanwhile. There are no transactions yet: a client that looks for a transaction coordinator gets
// TRANSACTIONAL_ID_AUTHORIZATION_FAILED, the one error that the clients of Java and librdkafka both take as final here. If the
// client has the right, the message of the error says the real reason.
#pragma once

#include "broker/coordinators/group_coordinators.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_find_coordinator(GroupCoordinators& groups, RequestContextPtr context);

}  // namespace weir::broker
