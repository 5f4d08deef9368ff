// Produce (key 0), versions 3-13 (0-2 are advertised but not served: librdkafka disables compression otherwise).
//
// A batch is answered when its bytes are durable, for acks=1 as for acks=all. With acks=0 there is no answer, and a request that
// fails closes the connection. The log appends the bytes as they were received. A partition that is named twice takes its last
// records, and is answered once, as in Kafka.
//
// A request with transactional batches needs the right to its transactional id. Before the first batch of a transaction in a
// partition, the transaction's coordinator is asked about the partition (coordinators/verification.h): whether it is part of the
// transaction (versions 3-11), or to add it (from version 12 on, transaction.version 2). Batches of the same producer wait behind
// it.
//
// Deviation from Apache Kafka 4.4: timeout_ms is not applied, for there is no replica to wait for, and an append either completes
// or fails.
#pragma once

#include "broker/coordinators/coordinators.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_produce(Coordinators& coordinators, RequestContextPtr context);

}  // namespace weir::broker
