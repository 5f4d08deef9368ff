// How much of a disk an empty broker takes: the bound of dirty data, which fills the files of the write-ahead log, and the
// reserve for a full disk. On a small disk both are small. The reserve is at least twice the bound, for the checkpoints of
// everything acknowledged may need so much.
#pragma once

#include <algorithm>
#include <cstdint>

namespace weir::apps {

// `free` and `total` of the file system; `memory`: of recent records.
constexpr uint64_t default_dirty_bytes(uint64_t memory, uint64_t free, uint64_t total) {
  return std::min({memory, free / 20, total / 200});
}

constexpr uint64_t default_reserve_bytes(uint64_t dirty_bytes_max, uint64_t total) {
  constexpr uint64_t kLargest = 256 << 20;  // unless checkpoints need more
  return std::max(std::min(kLargest, total / 100), 2 * dirty_bytes_max);
}

}  // namespace weir::apps
