// Writes the markers of transactions that end into the partitions of one shard.
//
// A marker of a partition of `__consumer_offsets` is a step of the partition's group coordinator: the offsets of the transaction
// begin to count, or go. Any other is appended to the log. Those of a loop turn become durable together, with one flush.
//
// The result of a marker: kNone once it is durable, or if the partition is gone from the newest image.
// kInvalidProducerEpoch: the producer has gone on, the marker is outdated. kTransactionCoordinatorFenced: a later coordinator
// wrote one. Anything else passes: the partition or its coordinator does not serve now.
//
// Lives on the loop of its shard. Loop thread only; results come on that loop, possibly inline.
#pragma once

#include "base/function.h"
#include "broker/metadata/metadata_image.h"
#include "coordination/transaction/transaction_messages.h"
#include "protocol/errors.h"
#include "storage/types.h"

namespace weir::storage {
class LogShard;
}

namespace weir::broker {

class MarkerWriter {
 public:
  using Written = Function<void(protocol::ErrorCode)>;
  // The marker as a step of the coordinator that has the partition of `__consumer_offsets`, on this shard.
  using GroupStep = Function<void(const storage::PartitionId&, const coordination::WriteMarker&, Written)>;

  // `log` and `image`, which is the shard's newest, outlive it.
  MarkerWriter(storage::LogShard& log, const MetadataImagePtr& image, GroupStep group_step)
      : log_(log), image_(image), group_step_(std::move(group_step)) {}
  MarkerWriter(const MarkerWriter&) = delete;

  // `to` belongs to the shard.
  void write(const storage::PartitionId& to, const coordination::WriteMarker& marker, Written done);
  uint64_t written() const { return written_; }  // markers, durable

 private:
  storage::LogShard& log_;
  const MetadataImagePtr& image_;
  GroupStep group_step_;
  uint64_t written_ = 0;
};

}  // namespace weir::broker
