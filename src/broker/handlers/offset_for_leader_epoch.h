// OffsetForLeaderEpoch (key 23), versions 2-4: the end of a leader epoch. It tells a client whether its position still exists
// after the leader changed. Deviations from Apache Kafka 4.4: none known.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_offset_for_leader_epoch(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
