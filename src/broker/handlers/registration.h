// The APIs of the broker's handlers, registered with a dispatcher.
#pragma once

#include "broker/broker.h"
#include "broker/coordinators/group_coordinators.h"
#include "broker/server/dispatch.h"

namespace weir::broker {

// `broker` and `groups` outlive the dispatcher's use.
void register_handlers(Dispatcher& dispatcher, Broker& broker, GroupCoordinators& groups);

}  // namespace weir::broker
