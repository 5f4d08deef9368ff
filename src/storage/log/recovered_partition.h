// Makes a partition of its snapshot. A start adds the batches above it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "storage/log/partition.h"
#include "storage/log/partition_snapshot.h"

namespace weir::storage {

// The findings of a start about a partition in the write-ahead log and in offline markers.
struct RecoveredTail {
  // Above the snapshot, in order and without a gap. A batch below the log start was deleted before its checkpoint. It has no
  // bytes, and tells of its producer only.
  std::vector<TailBatch> batches;
  std::string offline_reason;  // why the partition cannot be served; empty if it can
};

// All of the partition is durable. Producers are as old as the appends of their last batches. The oldest ones above
// `producers_max` are forgotten.
std::unique_ptr<Partition> recovered_partition(PartitionSnapshot snapshot, const LogConfig& config, int32_t leader_epoch,
                                               RecoveredTail tail, size_t producers_max);

// Returns the snapshot of a partition whose log is checkpointed to its end.
PartitionSnapshot snapshot_of(const Partition& partition);

}  // namespace weir::storage
