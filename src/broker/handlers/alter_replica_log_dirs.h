// AlterReplicaLogDirs (key 34), versions 1-2: moves partitions to another log directory. The answer comes once the wish is
// durable. Segments move in the background, and DescribeLogDirs tells how far they are. For a topic that does not exist the
// broker answers UNKNOWN_TOPIC_OR_PARTITION and remembers the wish until the topic is created, as Kafka does.
//
// Deviation: no topic's name is too long, for folders have topic ids.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_alter_replica_log_dirs(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
