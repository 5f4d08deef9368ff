// Groups of the consumer protocol (KIP-848): ConsumerGroupHeartbeat 0-1 (key 68), ConsumerGroupDescribe 0-1 (69). One .cc each.
// As in Apache Kafka 4.4, with one deviation: a group that ConsumerGroupDescribe names again is answered once.
//
// A heartbeat that names topics needs kDescribe on each of them. A description that names a topic that the client may not
// describe is refused as a whole.
#pragma once

#include "broker/coordinators/group_coordinators.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_consumer_group_heartbeat(GroupCoordinators& groups, RequestContextPtr context);
void handle_consumer_group_describe(GroupCoordinators& groups, RequestContextPtr context);

}  // namespace weir::broker
