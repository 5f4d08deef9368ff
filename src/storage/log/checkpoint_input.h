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
//
// The rows of producers are as of that recovery point too, not as of now: what the stored row says, and the batches since. A
// state ahead of the recovery point would refuse what recovery replays.
class CheckpointInput {
 public:
  CheckpointInput(Partition& partition, ChunkNumber up_to);
  // Looks at up to `batches` more of them; 0 once there are none.
  size_t add(size_t batches);
  CheckpointPartition take();  // at the end; the partition takes note of the rows

 private:
  void add_producer(const BatchInfo& info);

  Partition& partition_;
  ChunkNumber up_to_;
  int64_t recovery_point_;
  CheckpointPartition input_;
  ProducerState rows_;
};

}  // namespace weir::storage
