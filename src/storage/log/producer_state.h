// What a partition remembers of idempotent producers: epoch, and the last five batches of each, to refuse gaps and to
// answer duplicates with the original offset (KIP-98, KIP-360). Runs ahead of durability like the offsets do.
//
// Who is forgotten may go on: the first batch of an unknown producer is taken whatever its sequence, as in Kafka.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

#include "storage/types.h"

namespace weir::storage {

enum class SequenceCheck {
  kAccept,
  kDuplicate,       // the very batch is one of the last five: answer it with its original offset
  kOutOfOrder,      // OUT_OF_ORDER_SEQUENCE_NUMBER
  kStaleEpoch,      // INVALID_PRODUCER_EPOCH
  kUnknownProducer  // UNKNOWN_PRODUCER_ID: not known here, and the sequence is not a first one
};

class ProducerState {
 public:
  // Not copied: by_id_ points into by_age_.
  ProducerState() = default;
  ProducerState(ProducerState&&) = default;
  ProducerState& operator=(ProducerState&&) = default;

  struct Verdict {
    SequenceCheck check = SequenceCheck::kAccept;
    ProducerBatch original;  // with kDuplicate
  };
  // Judges a batch of an idempotent producer (facts.producer_id >= 0, not a control batch) before it is appended.
  Verdict check(const BatchFacts& facts) const;
  // The same for one that a coordinator of this broker wrote for the producer: it has no sequence.
  Verdict check_epoch(const BatchFacts& facts) const;

  // Takes a batch into account that is appended (or recovered) now. Batches without producer id are ignored.
  void update(const BatchFacts& facts, int64_t now_ms);

  // Forgets producers that were updated before `before`, at most so many at once; those with an open transaction stay. Returns
  // their ids.
  static constexpr size_t kExpiredAtOnce = 4096;
  std::vector<int64_t> expire(int64_t before);
  // Forgets the one whose last update is the longest ago, and has no open transaction.
  std::optional<int64_t> evict();

  void restore(std::vector<ProducerEntry> entries);
  const ProducerEntry* find(int64_t producer_id) const;
  // By their last updates, the oldest first.
  const std::list<ProducerEntry>& entries() const { return by_age_; }
  size_t size() const { return by_age_.size(); }

 private:
  ProducerEntry& newest(int64_t producer_id);

  std::list<ProducerEntry> by_age_;
  std::unordered_map<int64_t, std::list<ProducerEntry>::iterator> by_id_;
};

// Sequence numbers wrap from INT32_MAX to 0.
int32_t sequence_after(int32_t sequence, int32_t count);

}  // namespace weir::storage
