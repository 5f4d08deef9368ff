// All that an owner must know of a partition to serve it, as one value: its segments, its bounds, leader epochs, producers and
// their open transactions. LogShard::acquire takes a snapshot, and LogShard::release gives it back for any next owner. It is as
// of the recovery point. A tail that is not checkpointed is no part of it.
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
// Fails for bytes that encode_partition_snapshot did not make. Takes memory in proportion to the bytes.
Result<PartitionSnapshot> decode_partition_snapshot(Bytes bytes);

}  // namespace weir::storage
