// DescribeTopicPartitions (key 75), version 0: topics in the order of their names, a bounded number of partitions at a
// time. next_cursor tells where to go on. Deviations from Apache Kafka 4.4: none known.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_describe_topic_partitions(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
