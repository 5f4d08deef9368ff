// Fetch (key 1), versions 4-18: by topic name up to 12, by topic id from 13 on, with incremental sessions from 7 on.
//
// Records are sent from their place: slices of the tail in memory, or resident file ranges. A request that finds less than
// min_bytes waits on the partitions' shards up to max_wait_ms. The answer has at least one whole batch, even above the limits. A
// partition with data goes to the end of its session's order.
//
// Deviations from Apache Kafka 4.4: fetches of replicas (replica_id >= 0) are answered NOT_LEADER_OR_FOLLOWER. A fetch that waits
// ends early when a partition of it changes and min_bytes are there, never because a segment rolled.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_fetch(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
