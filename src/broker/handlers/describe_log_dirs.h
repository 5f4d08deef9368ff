// DescribeLogDirs (key 35), versions 1-5: the data folder, the bytes of each partition (segments and what is not merged
// into them yet) and the free space.
//
// Deviation: the size of the volume is not told (-1, unknown).
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_describe_log_dirs(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
