// ListConfigResources (key 74), versions 0-1: names of resources that have configs. Version 0 lists client metrics
// subscriptions. From version 1 on the client names the kinds, and none means all.
#pragma once

#include "broker/broker.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_list_config_resources(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
