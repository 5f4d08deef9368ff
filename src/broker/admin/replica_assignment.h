// Checks and bounds of requests that create partitions or assign their replicas to brokers.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "broker/admin/refusal.h"
#include "broker/metadata/metadata_image.h"

namespace weir::broker {

// The most partitions that one request may create.
inline constexpr int64_t kMaxPartitionsPerRequest = 10'000;

// A partition's manual assignment. Refuses no broker at all, a broker that is not registered or that keeps no partitions, and one
// that is named twice.
std::optional<Refusal> check_assignment(std::span<const int32_t> brokers, const MetadataImage& image);

}  // namespace weir::broker
