// Produce (key 0), versions 3-13 (0-2 are advertised but not served: librdkafka disables compression otherwise).
//
// A batch is answered when its bytes are durable, for acks=1 as for acks=all. With acks=0 there is no answer, and a request that
// fails closes the connection. The log appends the bytes as they were received. A partition that is named twice takes its last
// records, and is answered once, as in Kafka.
//
// Deviations from Apache Kafka 4.4: timeout_ms is not applied, for there is no replica to wait for, and an append either
// completes or fails. There are no transactions yet. Transactional requests and batches are refused with
// TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which every client treats as fatal and never retries.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_produce(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
