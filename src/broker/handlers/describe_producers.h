// DescribeProducers (key 61), version 0: the producers a partition remembers, with their last sequence and time.
//
// Deviations: the time is that of the last append, not the batch's largest timestamp. A partition that is named again is answered
// with INVALID_REQUEST.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_describe_producers(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
