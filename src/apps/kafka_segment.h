// Reads a segment file of Apache Kafka from begin to end: checks every batch, and gathers what a manifest says of it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "apps/kafka_folder.h"
#include "base/result.h"
#include "runtime/file.h"
#include "storage/log/producer_state.h"
#include "storage/segment/segment_index.h"
#include "storage/segment/segment_store.h"

namespace weir::apps {

// What the batches of a partition leave behind, from its first segment to the one read last.
struct KafkaPartitionState {
  storage::PartitionId id;
  storage::ProducerState producers;
  std::vector<storage::EpochStart> epochs;       // as the batches say
  std::map<int64_t, int64_t> open_transactions;  // producer id -> first offset
  int64_t max_producer_id = -1;
  int64_t next_offset = 0;
  uint64_t batches = 0;
  uint64_t aborted_transactions = 0;
};

struct KafkaSegment {
  storage::SegmentInfo info;  // length: up to the end of the last whole, intact batch
  storage::SegmentIndex index;
  uint64_t batches = 0;
  uint64_t trailing_bytes = 0;  // behind the last intact batch
  std::string damage;           // why the chain ends before the file does; empty if it does not
};

// kUnsupported for message formats 0 and 1, kIo if the file cannot be read. Damage is no error: the result says where the
// intact part ends, and `state` is as of there.
Result<KafkaSegment> read_kafka_segment(runtime::FileSystem& files, const KafkaSegmentFile& segment,
                                        KafkaPartitionState& state);

}  // namespace weir::apps
