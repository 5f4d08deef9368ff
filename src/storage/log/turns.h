// What has to do with all partitions of a shard, or all that a checkpoint is about, is done in slices: so much in one turn of the
// loop.
#pragma once

#include <cstddef>

namespace weir::storage {

inline constexpr size_t kPartitionsPerTurn = 256;
inline constexpr size_t kBatchesPerTurn = 4096;

}  // namespace weir::storage
