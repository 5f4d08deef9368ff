// The APIs of the broker's handlers, registered with a dispatcher.
#pragma once

#include "broker/broker.h"
#include "broker/server/dispatch.h"

namespace weir::broker {

// `broker` outlives the dispatcher's use.
void register_handlers(Dispatcher& dispatcher, Broker& broker);

}  // namespace weir::broker
