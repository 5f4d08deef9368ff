// What a partition remembers of idempotent producers: epoch, open transaction, and the last five batches of each, to refuse gaps
// and to answer duplicates with the original offset (KIP-98, KIP-360, KIP-890). Runs ahead of durability like the offsets do.
//
// A forgotten producer may go on: the first batch of an unknown producer is taken whatever its sequence, as in Kafka.
//
// The rows in a manifest are as of its recovery point, and the state runs ahead of them. So of a producer that has written since,
// it keeps as well what the producer was there (docs/decisions/0030-producer-rows-are-snapshots.md).
#pragma once

#include <cstdint>
#include <limits>
#include <list>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "storage/log/transactions.h"
#include "storage/types.h"

namespace weir::storage {

enum class ProducerCheck {
  kAccept,
  kDuplicate,          // the very batch is one of the last five: answer it with its original offset
  kOutOfOrder,         // OUT_OF_ORDER_SEQUENCE_NUMBER
  kStaleEpoch,         // INVALID_PRODUCER_EPOCH
  kNoTransaction,      // INVALID_TXN_STATE: transactional, and no transaction is open or verified to be
  kInTransaction,      // INVALID_TXN_STATE: not transactional, though a transaction is open
  kFencedCoordinator,  // TRANSACTION_COORDINATOR_FENCED
};

class ProducerState {
 public:
  // Not copied: by_id_ points into by_age_.
  ProducerState() = default;
  ProducerState(ProducerState&&) = default;
  ProducerState& operator=(ProducerState&&) = default;

  // What a producer was from an offset on, up to the next earlier one or the producer's last batch.
  struct Earlier {
    int64_t from = 0;
    ProducerEntry entry;
  };
  // As its row in the manifest, and what is needed only while the log above the manifest's recovery point may be replayed.
  struct Producer : ProducerEntry {
    int64_t last_end_offset = -1;  // of the marker of its last transaction
    int64_t last_offset = -1;      // of its last batch; -1: none since restore()
    // Oldest first, at most two: as of the rows that are stored, and of those of a checkpoint under way. Those that no row needs
    // any more go with the producer's next batch.
    std::vector<Earlier> earlier;

    bool may_be_forgotten(int64_t checkpointed_end) const {
      return transaction_first_offset < 0 && last_end_offset < checkpointed_end;
    }
  };
  // What a batch does to its producer's transaction: first offset of the one that it begins, or ends; -1: none.
  struct TransactionStep {
    int64_t begun = -1;
    int64_t ended = -1;
  };
  struct Verdict {
    ProducerCheck check = ProducerCheck::kAccept;
    ProducerBatch original = {};  // with kDuplicate
  };
  // Judges a batch of an idempotent producer (info.producer_id >= 0, not a control batch) before it is appended.
  Verdict check(const BatchInfo& info, const GuardState& guard = {}) const;
  // The same for one that a coordinator of this broker wrote for the producer: it has no sequence.
  Verdict check_coordinator(const BatchInfo& info, const GuardState& guard) const;
  // The same for a marker. Of a transaction version from 2 on it needs an epoch above the producer's, or the same one if no
  // transaction is open: then it came before, and its answer was lost.
  Verdict check_marker(const BatchInfo& info) const;

  // Takes a batch into account that is appended (or recovered) now, whatever would be said of it. Batches without producer id are
  // ignored.
  TransactionStep update(const BatchInfo& info, int64_t now_ms);

  // Forgets producers that were updated before `before`, at most so many at once. Returns their ids. Those with an open
  // transaction stay, and those with one that ended at or above `checkpointed_end`: recovery has to know where it began.
  static constexpr size_t kExpiredAtOnce = 4096;
  std::vector<int64_t> expire(int64_t before, int64_t checkpointed_end = std::numeric_limits<int64_t>::max());
  // Forgets the one whose last update is the longest ago, of those that may be.
  static constexpr size_t kEvictionLooks = 64;
  std::optional<int64_t> evict(int64_t checkpointed_end = std::numeric_limits<int64_t>::max());

  void restore(std::vector<ProducerEntry> entries);

  // Rows are as of an offset if they tell of all batches that end below it. Without a call nothing earlier is kept.
  void rows_are_stored(int64_t as_of) { stored_as_of_ = as_of; }
  int64_t rows_stored_as_of() const { return stored_as_of_; }
  // A checkpoint writes `rows`, of all producers that have a batch between the stored rows and `as_of`. If it fails, the next one
  // says so again.
  void rows_are_written(int64_t as_of, std::span<const ProducerEntry> rows);
  // What the stored row says of a producer that has written since; a new entry if there is none.
  ProducerEntry stored_row(int64_t producer_id) const;

  const ProducerEntry* find(int64_t producer_id) const;
  // By their last updates, the oldest first, but for those that had to stay.
  const std::list<Producer>& entries() const { return by_age_; }
  size_t size() const { return by_age_.size(); }

 private:
  Producer& newest(int64_t producer_id);
  void keep_earlier(Producer& producer, int64_t batch_end) const;
  void drop_stale(Producer& producer) const;
  void forget_oldest();

  static constexpr int64_t kNoRows = -1;
  int64_t stored_as_of_ = kNoRows;
  int64_t written_as_of_ = kNoRows;

  std::list<Producer> by_age_;
  std::unordered_map<int64_t, std::list<Producer>::iterator> by_id_;
};

// Sequence numbers wrap from INT32_MAX to 0.
int32_t sequence_after(int32_t sequence, int32_t count);

}  // namespace weir::storage
