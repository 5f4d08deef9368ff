// The APIs of the broker's handlers, registered with a dispatcher.
#pragma once

#include "broker/coordinators/coordinators.h"
#include "broker/server/dispatch.h"

namespace weir::broker {

// `coordinators` and all in it outlive the dispatcher's use.
void register_handlers(Dispatcher& dispatcher, Coordinators& coordinators);

}  // namespace weir::broker
