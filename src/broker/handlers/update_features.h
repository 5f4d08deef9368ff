// UpdateFeatures (key 57), versions 0-2: raises or lowers finalized features within what is supported. All updates of a
// request or none; durable, and ApiVersions on every shard says so, before the answer.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_update_features(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
