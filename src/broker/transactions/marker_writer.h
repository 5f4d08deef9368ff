// Writes the markers of transactions that end into the partitions of one shard.
//
// A marker of a partition of `__consumer_offsets` is a step of the partition's group coordinator: the offsets of the transaction
// begin to count, or go. Any other is appended to the log. Those of a loop turn become durable together, with one flush.
//
// The result of a marker: kNone once it is durable, or if the partition is gone from the newest image.
// kInvalidProducerEpoch: the producer has gone on, the marker is outdated. kTransactionCoordinatorFenced: a later coordinator
// wrote one. kInvalidTxnState: see
// MarkerAppend::only_first_offset. Anything else passes: the partition or its coordinator does not serve now.
//
// Lives on the loop of its shard. Loop thread only; results come on that loop, possibly inline.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "base/function.h"
#include "broker/metadata/metadata_image.h"
#include "protocol/errors.h"
#include "storage/log/transactions.h"
#include "storage/types.h"

namespace weir::storage {
class LogShard;
}

namespace weir::broker {

class MarkerWriter {
 public:
  using Written = Function<void(protocol::ErrorCode)>;
  // The marker as a step of the coordinator that has the partition of `__consumer_offsets`, on this shard.
  using GroupStep = Function<void(const storage::PartitionId&, const storage::MarkerAppend&, Written)>;

  // `log` and `image`, which is the shard's newest, outlive it. `offsets_topic`: the name of the topic with the step.
  MarkerWriter(storage::LogShard& log, const MetadataImagePtr& image, std::string_view offsets_topic, GroupStep group_step)
      : log_(log), image_(image), offsets_topic_(offsets_topic), group_step_(std::move(group_step)) {}
  MarkerWriter(const MarkerWriter&) = delete;

  // `to` belongs to the shard.
  void write(const storage::PartitionId& to, const storage::MarkerAppend& marker, Written done);
  uint64_t written() const { return written_; }  // markers, durable

 private:
  storage::LogShard& log_;
  const MetadataImagePtr& image_;
  const std::string_view offsets_topic_;
  GroupStep group_step_;
  uint64_t written_ = 0;
};

}  // namespace weir::broker
