// DescribeCluster (key 60), versions 0-2: this broker, under the address of the listener the client came through.
// Deviations from Apache Kafka 4.4: none known.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_describe_cluster(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
