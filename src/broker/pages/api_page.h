// docs/apis.md: the APIs and proposals (KIPs) of Kafka that are served, made from the dispatcher's table.
#pragma once

#include <string>

#include "broker/server/dispatch.h"

namespace weir::broker {

std::string api_page(const Dispatcher& dispatcher);

}  // namespace weir::broker
