#include "storage/log/producer_bound.h"

#include <algorithm>

namespace weir::storage {

Partition& ProducerBound::partition_to_shrink(std::span<Partition* const> all) {
  constexpr size_t kLooks = 8;
  for (size_t looks = std::min(kLooks, all.size()); looks > 0; --looks) note(*all[next_look_++ % all.size()]);
  return *largest_;
}

}  // namespace weir::storage
