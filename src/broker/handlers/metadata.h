// Metadata (key 3), versions 0-13: the broker, and topics by name or (from 12 on) by id.
//
// Topics that do not exist are created if the request and auto.create.topics.enable allow it, and the answer waits for them.
// Apache Kafka 4.4 answers at once that they are unknown, and the client asks again. The address is that of the client's
// listener.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_metadata(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
