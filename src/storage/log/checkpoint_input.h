// Gathers the part of a partition that a checkpoint writes.
#pragma once

#include <cstddef>

#include "storage/log/partition.h"
#include "storage/log/producer_state.h"
#include "storage/segment/segment_store.h"
#include "storage/wal/wal.h"

namespace weir::storage {

// Gathers all dirty batches in chunks <= up_to, and the state as of the recovery point that the checkpoint reaches. It works in
// slices. Between two of them batches may be appended to the partition, but not checkpointed.
//
// The rows of producers are as of that recovery point as well, not as of now: the stored row, and the batches since. A state
// ahead of the recovery point would refuse batches that recovery replays.
class CheckpointInput {
 public:
  CheckpointInput(Partition& partition, ChunkNumber up_to);
  // Adds up to `batches` more batches. Returns their number; 0 once there are none.
  size_t add(size_t batches);
  CheckpointPartition take();  // at the end; the partition notes the rows

 private:
  void add_producer(const BatchInfo& info);

  Partition& partition_;
  ChunkNumber up_to_;
  int64_t recovery_point_;
  CheckpointPartition input_;
  ProducerState rows_;
};

}  // namespace weir::storage
