#include "storage/log/producer_bound.h"

#include <algorithm>

namespace weir::storage {

Partition& ProducerBound::partition_to_shrink(std::span<Partition* const> all, Partition& grown) {
  constexpr size_t kLooks = 256;
  const size_t average = count_ / all.size();
  const auto size = [](const Partition* partition) { return partition ? partition->producers().size() : 0; };
  if (size(&grown) > size(largest_)) largest_ = &grown;
  if (size(&grown) > average) return grown;
  if (size(largest_) < std::max<size_t>(average, 1)) {
    largest_ = &grown;
    for (size_t looks = std::min(kLooks, all.size()); looks > 0; --looks) {
      Partition* const next = all[next_look_++ % all.size()];
      if (size(next) > size(largest_)) largest_ = next;
    }
  }
  return *largest_;
}

}  // namespace weir::storage
