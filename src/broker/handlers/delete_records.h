// DeleteRecords (key 21), versions 0-2: moves the log start of partitions. The answer comes when the move is durable. Offset -1
// means the high watermark. Deviations from Apache Kafka 4.4: timeout_ms is not applied.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_delete_records(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
