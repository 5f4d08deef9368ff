// DeleteTopics (key 20), versions 1-6: by name, from 6 on by id as well. The answer comes when the deletion is durable. The files
// go after file.delete.delay.ms.
//
// Deviation from Apache Kafka 4.4: results are in a fixed order. Kafka shuffles them, to hide topics that a client may not see.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_delete_topics(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
