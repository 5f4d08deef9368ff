// The bound of the groups of all coordinators of a process. Things that one client can make without end are bounded first, so
// present clients find room: offsets, then groups, then members of existing groups. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "coordination/runtime/memory_bound.h"

namespace weir::coordination {

class GroupMemory final : public MemoryBound {
 public:
  using MemoryBound::MemoryBound;

  enum class For { kOffset, kGroup, kMember };
  bool full(For what) const {
    constexpr int64_t kEighths[] = {6, 7, 8};
    return full_to(kEighths[static_cast<size_t>(what)]);
  }
};

}  // namespace weir::coordination
