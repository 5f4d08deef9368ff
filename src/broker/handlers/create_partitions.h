// CreatePartitions (key 37), versions 0-3: raises the partition count of topics. The new partitions can be used on every
// shard when the answer is sent. Deviations from Apache Kafka 4.4: none known.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_create_partitions(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
