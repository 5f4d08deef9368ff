// What a merge writes of a partition.
#pragma once

#include <cstddef>

#include "storage/log/partition.h"
#include "storage/log/producer_state.h"
#include "storage/segment/segment_store.h"
#include "storage/wal/wal.h"

namespace weir::storage {

// Makes what a merge of all unmerged batches in chunks <= up_to writes, with the state as of the floor it reaches. In slices:
// batches may be appended to the partition between two of them, but not merged.
class MergeInput {
 public:
  MergeInput(const Partition& partition, ChunkNumber up_to);
  // Looks at up to `batches` more of them; 0 once there are none.
  size_t add(size_t batches);
  MergePartition take();

 private:
  const Partition& partition_;
  ChunkNumber up_to_;
  int64_t floor_;
  MergePartition input_;
  ProducerState producers_;
};

}  // namespace weir::storage
