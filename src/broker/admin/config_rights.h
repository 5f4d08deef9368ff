// The right to a resource's configs that a request for them needs.
#pragma once

#include <cstdint>
#include <string_view>

#include "broker/server/request_context.h"
#include "protocol/errors.h"

namespace weir::broker {

// The error of a client that has not the right which the row of its API needs. kNone: it has the right, or there is no such
// `type` (a ConfigResourceType, or what the client sent instead). Brokers, loggers and client metrics are the cluster's.
protocol::ErrorCode config_denial(const RequestContext& context, int8_t type, std::string_view name);

// As Kafka words it.
std::string_view denial_text(protocol::ErrorCode denial);

}  // namespace weir::broker
