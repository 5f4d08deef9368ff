// DescribeConfigs (key 32), versions 1-4: settings of topics and of this broker with value, source, synonyms, type and
// documentation.
//
// Deviations from Apache Kafka 4.4: a topic's value that comes from a broker key of another unit (log.retention.hours)
// names that key as its source (Kafka calls it a default). Groups, loggers and client metrics have no settings yet:
// INVALID_REQUEST.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_describe_configs(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
