// The value of weir.max.memory.bytes, or its default.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "base/result.h"
#include "broker/config/broker_config.h"

namespace weir::apps {

// An eighth is the largest request, and a quarter all of them at a time: with less hardly anybody could be served.
inline constexpr uint64_t kLeastMemory = 16ull << 20;

// `usual`: unless the setting says something else.
inline uint64_t memory_of(const broker::BrokerConfig& config, uint64_t usual) {
  const int64_t configured = config.integer("weir.max.memory.bytes");
  return std::max(configured > 0 ? static_cast<uint64_t>(configured) : usual, kLeastMemory);
}

inline Result<void> check_memory(const broker::BrokerConfig& config) {
  const int64_t configured = config.integer("weir.max.memory.bytes");
  if (configured <= 0 || static_cast<uint64_t>(configured) >= kLeastMemory) return {};
  return fail(
      ErrorCode::kInvalid,
      fmt::format("weir.max.memory.bytes: {} bytes are too few to serve anybody; at least {} are needed, and -1 takes half "
                  "of what there is",
                  configured, kLeastMemory));
}

}  // namespace weir::apps
