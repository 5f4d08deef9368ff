// What the batches of a partition leave behind: where the log ends, its leader epochs, its producers and their transactions.
// Appends, recovery and imports apply each batch here, in offset order, so that all of them come to the same state.
//
// Runs ahead of durability, as offsets do: a transaction whose marker is not durable is decided, but not stable. Owned by one
// thread.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <vector>

#include "storage/log/producer_state.h"
#include "storage/types.h"

namespace weir::storage {

class PartitionState {
 public:
  // An epoch above the broker's is damage, or of metadata that went back: a client that learnt of it would never again believe
  // what the broker says of the partition. Such a batch counts for `highest_epoch`.
  explicit PartitionState(int32_t highest_epoch = std::numeric_limits<int32_t>::max()) : highest_epoch_(highest_epoch) {}

  // The state as of `end_offset`, as a manifest and its rows have it.
  void restore(int64_t end_offset, const std::vector<EpochStart>& epochs, std::vector<ProducerEntry> producers);
  // `time_ms` is the time of the append, as far as it is known: expiry of producers counts from it. A batch below the end, whose
  // records were deleted before they were checkpointed, tells of its producer only: a resend of it is still a duplicate.
  void apply(const BatchInfo& info, int64_t time_ms);

  int64_t end_offset() const { return end_offset_; }
  const std::vector<EpochStart>& epochs() const { return epochs_; }
  int32_t epoch_at(int64_t offset) const;  // leader epoch of the batch at `offset`; -1 if before all
  // Epochs that ended before the log start are history nobody can ask about; the one that covers it stays.
  void forget_epochs_before(int64_t log_start_offset);

  const ProducerState& producers() const { return producers_; }
  ProducerState& producers() { return producers_; }

  // Producers by the first offsets of their open transactions.
  const std::map<int64_t, int64_t>& open_transactions() const { return open_; }
  // First offset of the transactions that are open, or whose markers are not below the high watermark.
  static constexpr int64_t kNoneUnstable = std::numeric_limits<int64_t>::max();
  int64_t first_unstable_offset() const;
  void note_durable(int64_t high_watermark);  // never goes back
  // In the order of their markers; those below the offset that was forgotten last are somebody else's to know.
  const std::vector<AbortedTransaction>& aborted() const { return aborted_; }
  void forget_aborted_before(int64_t offset);
  // What a reader of committed records in [from, end) has to know of them, appended to `aborted`.
  void list_aborted(int64_t from, int64_t end, std::vector<AbortedTransaction>& aborted) const;

 private:
  void note_epoch(int32_t epoch, int64_t start_offset);
  void end_transaction(int64_t first_offset, const BatchInfo& marker);
  struct Decided {
    int64_t first_offset;
    int64_t marker_offset;
  };

  int32_t highest_epoch_;
  int64_t end_offset_ = 0;
  std::vector<EpochStart> epochs_;
  ProducerState producers_;
  std::map<int64_t, int64_t> open_;
  // In the order of their markers, and of their first offsets: one that ended before another and began later matters no more.
  std::vector<Decided> decided_;
  std::vector<AbortedTransaction> aborted_;
};

}  // namespace weir::storage
