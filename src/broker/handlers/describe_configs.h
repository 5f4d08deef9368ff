// DescribeConfigs (key 32), versions 1-4: configs of topics, brokers, broker loggers, groups and client metrics with value,
// source, synonyms, type and documentation. All of Kafka's broker keys are listed. A key that states a fact about the broker has
// the true value. Others have the value that is set, and their documentation says what it means here.
//
// Deviations from Apache Kafka 4.4: keys that Kafka may alter at run time and Weir may not are read-only. A resource that is
// named again is answered once. If the answer would take more memory than there is for one, each is refused with INVALID_REQUEST.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_describe_configs(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
