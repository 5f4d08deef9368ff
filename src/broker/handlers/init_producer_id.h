// InitProducerId (key 22), versions 0-5, for idempotent producers: a new producer id, with epoch 0.
//
// Deviation from Apache Kafka 4.4: there are no transactions yet. A transactional id is refused with
// TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which clients treat as fatal and never retry. The log says why.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_init_producer_id(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
