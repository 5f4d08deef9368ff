// CreateTopics (key 19), versions 2-7. A topic that is answered without error is durable and can be used on every shard.
//
// Each topic succeeds or fails for itself. Replication factor 1 (or -1, the default) is what one broker can give; manual
// assignments may only name this broker. validate_only goes the same way, up to the transaction. What is not begun within
// timeout_ms is not done; what takes longer is answered REQUEST_TIMED_OUT and may still be done, as in Kafka.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "broker/broker.h"
#include "broker/server/request_context.h"
#include "protocol/errors.h"

namespace weir::broker {

void handle_create_topics(Broker& broker, RequestContextPtr context);

// What is wrong with a request, for the client.
struct Refusal {
  protocol::ErrorCode error;
  std::string message;
};

// A partition's manual assignment: refuses brokers that do not live or keep no partitions, none at all, or one of them twice.
std::optional<Refusal> check_assignment(std::span<const int32_t> brokers, const MetadataImage& image);

// Most partitions one request may create.
inline constexpr int64_t kMaxPartitionsPerRequest = 10'000;

}  // namespace weir::broker
