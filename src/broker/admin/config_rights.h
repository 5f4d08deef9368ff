// The right to a resource's configs that a request for them needs.
#pragma once

#include <cstdint>
#include <string_view>

#include "broker/server/request_context.h"
#include "protocol/errors.h"

namespace weir::broker {

// Returns the error of a client without the right that the row of its API needs. kNone: it has the right, or there is no such
// `type` (a ConfigResourceType, or the client's number in its place). Brokers, loggers and client metrics belong to the cluster.
protocol::ErrorCode config_denial(const RequestContext& context, int8_t type, std::string_view name);

// In Kafka's words.
std::string_view denial_text(protocol::ErrorCode denial);

}  // namespace weir::broker
