// docs/apis.md: which of Kafka's APIs and proposals (KIPs) are served, made from the dispatcher's table.
#pragma once

#include <string>

#include "broker/server/dispatch.h"

namespace weir::broker {

std::string api_page(const Dispatcher& dispatcher);

}  // namespace weir::broker
