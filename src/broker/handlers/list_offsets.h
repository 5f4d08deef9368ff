// ListOffsets (key 2), versions 1-11: earliest (-2), latest (-1), largest timestamp (-3), earliest local (-4), latest
// tiered (-5), earliest pending upload (-6), or the first record at or after a timestamp.
//
// Deviations from Apache Kafka 4.4: none known. There is no tiered storage, so -5 and -6 answer -1.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_list_offsets(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
