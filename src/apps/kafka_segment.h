// Reads a segment file of Apache Kafka from begin to end: checks every batch, and gathers what a manifest says of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/kafka_folder.h"
#include "base/result.h"
#include "runtime/file.h"
#include "storage/log/partition_state.h"
#include "storage/segment/segment_index.h"
#include "storage/segment/segment_store.h"

namespace weir::apps {

// Brokers give no higher producer id: they give a thousand at a time, and there must be room for as many again.
inline constexpr int64_t kHighestKafkaProducerId = int64_t{1} << 62;

// Offsets that no batch has. Kafka leaves none out but where it compacted.
struct KafkaGaps {
  uint64_t count = 0;
  int64_t offsets = 0;
  std::string first;  // which they are, and where
};

// What the batches of a partition leave behind, from its first segment to the one read last.
struct KafkaPartitionState {
  // Leader epochs lie outside of a batch's checksum, so they are believed only as far as these agree: the epochs that
  // leader-epoch-checkpoint tells, and the highest there can be.
  std::vector<storage::EpochStart> told_epochs;
  int32_t highest_epoch = 0;

  storage::PartitionState log;         // its leader epochs as far as believed
  KafkaGaps between, within;           // segments
  int64_t max_producer_id = -1;        // of those that a broker may have given
  std::optional<int64_t> next_offset;  // nothing before the first segment
  uint64_t batches = 0;
};

struct KafkaSegment {
  storage::SegmentInfo info;  // length: up to the end of the last whole, intact batch
  storage::SegmentIndex index;
  std::vector<storage::AbortedTransaction> aborted;  // by its batches: Kafka's index of them has no checksum
  uint64_t batches = 0;
  uint64_t wrong_epochs = 0;    // batches with an epoch that is not believed
  uint64_t trailing_bytes = 0;  // behind the last intact batch
  std::string damage;           // why the chain ends before the file does; empty if it does not
};

// kUnsupported for message formats 0 and 1, kIo if the file cannot be read, kCorrupt if nothing says which leader epochs are
// right. Other damage is no error: the result says where the intact part ends, and `state` is as of there.
Result<KafkaSegment> read_kafka_segment(runtime::FileSystem& files, const KafkaSegmentFile& segment, KafkaPartitionState& state);

}  // namespace weir::apps
