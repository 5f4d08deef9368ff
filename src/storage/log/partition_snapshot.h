// All that must be known of a partition to serve it, as one value: where its records are, from where to where they go, leader
// epochs, producers and their open transactions. LogShard::acquire takes it, LogShard::release gives it back, whoever the next
// owner is. It is as of the recovery point: a tail that is not checkpointed is no part of it.
//
// Encoded: docs/formats/partition-snapshot.md.
#pragma once

#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "storage/segment/segment_store.h"
#include "storage/types.h"

namespace weir::storage {

struct PartitionSnapshot {
  PartitionManifest manifest;            // with log start, recovery point and leader epochs
  std::vector<ProducerEntry> producers;  // as of the recovery point
  bool operator==(const PartitionSnapshot&) const = default;
};

std::vector<uint8_t> encode_partition_snapshot(const PartitionSnapshot& snapshot);
// Fails for bytes that are not as encode_partition_snapshot made them. Takes memory in proportion to the bytes.
Result<PartitionSnapshot> decode_partition_snapshot(Bytes bytes);

}  // namespace weir::storage
