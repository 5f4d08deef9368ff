// CreateTopics (key 19), versions 2-7. A topic that is answered without error is durable and can be used on every shard.
//
// Each topic succeeds or fails for itself. One broker can give replication factor 1 (or -1, the default). Manual assignments may
// only name this broker. validate_only goes the same way, up to the transaction. A creation that has not begun within timeout_ms
// is not done. One that takes longer is answered REQUEST_TIMED_OUT and may still be done, as in Kafka.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_create_topics(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
