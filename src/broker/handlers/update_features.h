// UpdateFeatures (key 57), versions 0-2: raises or lowers finalized features within the supported levels. All updates of a
// request are done, or none. They are durable before the answer, and ApiVersions on every shard tells them.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_update_features(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
