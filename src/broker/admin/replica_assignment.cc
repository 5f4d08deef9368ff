#include "broker/admin/replica_assignment.h"

#include <fmt/core.h>

#include <algorithm>
#include <vector>

namespace weir::broker {

using protocol::ErrorCode;

std::optional<Refusal> check_assignment(std::span<const int32_t> brokers, const MetadataImage& image) {
  if (brokers.empty()) {
    return Refusal{ErrorCode::kInvalidReplicaAssignment, "The manual partition assignment includes an empty replica list."};
  }
  std::vector<int32_t> sorted(brokers.begin(), brokers.end());
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (image.find_broker(sorted[i]) == nullptr) {
      return Refusal{
          ErrorCode::kInvalidReplicaAssignment,
          fmt::format("The manual partition assignment includes broker {}, but no such broker is registered.", sorted[i])};
    }
    if (i > 0 && sorted[i] == sorted[i - 1]) {
      return Refusal{ErrorCode::kInvalidReplicaAssignment,
                     fmt::format("The manual partition assignment includes the broker {} more than once.", sorted[i])};
    }
    if (sorted[i] != image.self().id) {
      return Refusal{ErrorCode::kInvalidReplicaAssignment,
                     fmt::format("The manual partition assignment includes broker {}, but broker {} keeps all partitions.",
                                 sorted[i], image.self().id)};
    }
  }
  return std::nullopt;
}

}  // namespace weir::broker
