// AlterReplicaLogDirs (key 34), versions 1-2: has partitions live in another log directory. Answered once that is durable; the
// segments are moved in the background, and DescribeLogDirs tells how far that is. For a topic that does not exist the wish is
// remembered until it is created, and UNKNOWN_TOPIC_OR_PARTITION is answered, as by Kafka.
//
// Deviation: no topic's name is too long, for folders have topic ids.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_alter_replica_log_dirs(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
