// Bounds of slices. Work on all partitions of a shard, or on all batches of a checkpoint, is done in slices: so many in one turn
// of the loop.
#pragma once

#include <cstddef>

namespace weir::storage {

inline constexpr size_t kPartitionsPerTurn = 256;
inline constexpr size_t kBatchesPerTurn = 4096;

}  // namespace weir::storage
