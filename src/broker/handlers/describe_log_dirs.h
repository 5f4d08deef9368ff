// DescribeLogDirs (key 35), versions 1-5: the log directories with size and free space of their volumes, and the bytes of each
// partition: its segments, and batches that are not checkpointed yet. A partition that moves is listed twice: where it is, and as
// the future replica with the bytes that have arrived. Deviations from Apache Kafka 4.4: none known.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_describe_log_dirs(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
