// Makes a partition of its snapshot, and at a start of the batches above it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "storage/log/partition.h"
#include "storage/log/partition_snapshot.h"

namespace weir::storage {

// What a start finds of a partition in the write-ahead log and beside it.
struct RecoveredTail {
  // Above the snapshot, in order and without a gap. One below the log start has no bytes: it was deleted before it was
  // checkpointed, and tells of its producer only.
  std::vector<TailBatch> batches;
  std::string offline_reason;  // why the partition cannot be served; empty if it can
};

// All of it is durable. Replayed batches count as of `now_ms` for the expiry of producers; more than `producers_max` of those are
// forgotten, the oldest first.
std::unique_ptr<Partition> recovered_partition(PartitionSnapshot snapshot, const LogConfig& config, int32_t leader_epoch,
                                               RecoveredTail tail, int64_t now_ms, size_t producers_max);

// Of a partition whose log is checkpointed to its end.
PartitionSnapshot snapshot_of(const Partition& partition);

}  // namespace weir::storage
