// What a checkpoint writes of a partition.
#pragma once

#include <cstddef>

#include "storage/log/partition.h"
#include "storage/log/producer_state.h"
#include "storage/segment/segment_store.h"
#include "storage/wal/wal.h"

namespace weir::storage {

// Makes what a checkpoint of all dirty batches in chunks <= up_to writes, with the state as of the recovery point it reaches. In
// slices: batches may be appended to the partition between two of them, but not checkpointed.
class CheckpointInput {
 public:
  CheckpointInput(const Partition& partition, ChunkNumber up_to);
  // Looks at up to `batches` more of them; 0 once there are none.
  size_t add(size_t batches);
  CheckpointPartition take();

 private:
  const Partition& partition_;
  ChunkNumber up_to_;
  int64_t recovery_point_;
  CheckpointPartition input_;
  ProducerState producers_;
};

}  // namespace weir::storage
