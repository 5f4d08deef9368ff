// What a partition remembers of idempotent producers: epoch, and the last five batches of each, to refuse gaps and to
// answer duplicates with the original offset (KIP-98, KIP-360). Runs ahead of durability like the offsets do.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "storage/types.h"

namespace weir::storage {

enum class SequenceCheck {
  kAccept,
  kDuplicate,      // the very batch is one of the last five: answer it with its original offset
  kOutOfOrder,     // OUT_OF_ORDER_SEQUENCE_NUMBER
  kStaleEpoch,     // INVALID_PRODUCER_EPOCH
  kUnknownProducer // UNKNOWN_PRODUCER_ID: not known here, and the sequence is not a first one
};

class ProducerState {
 public:
  struct Verdict {
    SequenceCheck check = SequenceCheck::kAccept;
    ProducerBatch original;  // with kDuplicate
  };
  // Judges a batch of an idempotent producer (facts.producer_id >= 0, not a control batch) before it is appended.
  Verdict check(const BatchFacts& facts) const;

  // Takes an appended (or recovered) batch into account. Batches without producer id are ignored.
  void update(const BatchFacts& facts, int64_t timestamp);

  // Forgets producers whose last batch is older than `before`; those with an open transaction stay. Returns their ids.
  std::vector<int64_t> expire(int64_t before);

  void restore(ProducerEntry entry);
  const ProducerEntry* find(int64_t producer_id) const;
  const std::unordered_map<int64_t, ProducerEntry>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }

 private:
  std::unordered_map<int64_t, ProducerEntry> entries_;
};

// Sequence numbers wrap from INT32_MAX to 0.
int32_t sequence_after(int32_t sequence, int32_t count);

}  // namespace weir::storage
