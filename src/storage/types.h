// The types that all folders of the storage module share: whose a batch is, and what the log knows of a batch without reading it
// again.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <functional>
#include <iterator>
#include <span>
#include <vector>

#include "base/uuid.h"

namespace weir::storage {

// Identity of a partition everywhere: the topic's id, never its name.
struct PartitionId {
  TopicId topic;
  int32_t index = 0;
  auto operator<=>(const PartitionId&) const = default;
};

// In which log directories a partition lives, by their numbers (segment/log_directories.h).
struct PartitionPlace {
  uint32_t directory = 0;  // where clients see the partition
  uint32_t target = 0;     // where new segments go; differs from `directory` while the partition moves
  bool operator==(const PartitionPlace&) const = default;
};

inline constexpr int64_t kNoProducerId = -1;
inline constexpr int32_t kNoSequence = -1;
inline constexpr int64_t kNoTimestamp = -1;

// Saturates, because times come from records, files and rows, and anybody may have written anything into those.
inline int64_t ms_between(int64_t from_ms, int64_t to_ms) {
  int64_t between = 0;
  if (__builtin_sub_overflow(to_ms, from_ms, &between)) return to_ms < from_ms ? INT64_MIN : INT64_MAX;
  return between;
}

// What the log knows of one appended record batch. The write-ahead log holds it beside the batch, so that recovery, checkpoints
// and producer state need not parse batches.
struct BatchInfo {
  PartitionId partition;
  int32_t leader_epoch = 0;
  int64_t base_offset = 0;
  int32_t last_offset_delta = 0;
  uint32_t size = 0;  // bytes of the whole batch
  int64_t max_timestamp = kNoTimestamp;
  int16_t attributes = 0;  // as in the batch header: compression, timestamp type, transactional, control
  int64_t producer_id = kNoProducerId;
  int16_t producer_epoch = -1;
  int32_t base_sequence = kNoSequence;
  // Control batches only:
  int16_t control_type = -1;  // kAbort and kCommit are transaction markers
  int32_t coordinator_epoch = -1;
  int16_t transaction_version = 0;
  // Wall clock of the append. 0: an earlier version appended the batch and took max_timestamp from the batch's header.
  int64_t appended_ms = 0;

  static constexpr int16_t kTransactional = 0x10, kControl = 0x20;  // of attributes
  static constexpr int16_t kAbort = 0, kCommit = 1;
  bool transactional() const { return (attributes & kTransactional) != 0; }
  bool control() const { return (attributes & kControl) != 0; }
  bool ends_transaction() const { return control_type == kAbort || control_type == kCommit; }
  int64_t last_offset() const { return base_offset + last_offset_delta; }
  int64_t next_offset() const { return last_offset() + 1; }
  // Records without a time are as old as their append.
  int64_t largest_timestamp() const { return max_timestamp >= 0 ? max_timestamp : appended_ms; }
  bool operator==(const BatchInfo&) const = default;
};

// Leader epoch history: `epoch` began at `start_offset`.
struct EpochStart {
  int32_t epoch = 0;
  int64_t start_offset = 0;
  bool operator==(const EpochStart&) const = default;
};

// Leader epoch of the batch at `offset`. -1: the history, which ascends, begins later.
inline int32_t epoch_at(std::span<const EpochStart> history, int64_t offset) {
  const auto next = std::ranges::upper_bound(history, offset, {}, &EpochStart::start_offset);
  return next == history.begin() ? -1 : std::prev(next)->epoch;
}

// One of the last five batches of an idempotent producer: enough to recognise a duplicate and answer it.
struct ProducerBatch {
  int32_t base_sequence = 0;
  int32_t last_sequence = 0;
  int64_t last_offset = 0;
  int32_t offset_delta = 0;  // base offset = last_offset - offset_delta
  int64_t timestamp = kNoTimestamp;
  bool operator==(const ProducerBatch&) const = default;
};

// A partition remembers this of one producer id.
struct ProducerEntry {
  int64_t producer_id = kNoProducerId;
  int16_t producer_epoch = -1;
  int32_t coordinator_epoch = -1;
  int64_t last_timestamp = kNoTimestamp;  // of its last batch or marker; expiry counts from it
  int64_t transaction_first_offset = -1;  // of the open transaction; -1 without one
  std::vector<ProducerBatch> batches;     // oldest first, at most five
  bool operator==(const ProducerEntry&) const = default;
};
inline constexpr size_t kProducerBatches = 5;

// A transaction that was aborted in a partition. Readers of committed records skip its producer's records from its first offset
// to its marker. Kafka's `.txnindex` files hold the same.
struct AbortedTransaction {
  int64_t producer_id = kNoProducerId;
  int64_t first_offset = 0;
  int64_t last_offset = 0;         // of the marker
  int64_t last_stable_offset = 0;  // after the marker; no transaction that ends later begins below it
  bool operator==(const AbortedTransaction&) const = default;
};

}  // namespace weir::storage

template <>
struct std::hash<weir::storage::PartitionId> {
  size_t operator()(const weir::storage::PartitionId& id) const {
    return std::hash<weir::Uuid>()(id.topic) + static_cast<size_t>(id.index) * 0x9e3779b97f4a7c15ull;
  }
};
