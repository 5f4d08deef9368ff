// The transactions that a cleaning meets, batch by batch in the order of the log: which batches are of an aborted one, and which
// markers end one that has no batch left (Kafka's CleanedTransactionMetadata).
//
// A transaction may begin in one segment and end in a later one, and its entry is with its marker. So all entries that reach back
// over the begin of their segment have to be known first (add_spanning). Others are known while their segment is read. Memory is
// bounded by the aborted transactions of one segment and by those that several segments share.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <unordered_set>
#include <utility>

#include "protocol/record_batch.h"
#include "storage/segment/manifest.h"
#include "storage/types.h"

namespace weir::storage {

class CleanedTransactions {
 public:
  // Of the segment with this base offset, or of what lies behind all segments. Those that do not reach below `below` concern
  // nothing that is cleaned.
  void add_spanning(std::span<const AbortedTransaction> entries, int64_t segment_base_offset, int64_t below);
  // The segment that is read next has these entries.
  void begin_segment(std::span<const AbortedTransaction> entries);

  // Whether the batch is data of an aborted transaction.
  bool is_aborted(const protocol::BatchHeader& header) const;

  // While segments are written anew, from the first one on, for each batch. True if nobody needs its records: it is data of an
  // aborted transaction, or a marker and no batch of its transaction came before. What came does not have to stay: the marker
  // goes in a later cleaning only.
  bool is_needless(const protocol::BatchHeader& header);
  // The entry of the transaction that the marker ended, if that was aborted.
  const AbortedTransaction* entry_of(const protocol::BatchHeader& marker) const;

 private:
  using Entries = std::map<std::pair<int64_t, int64_t>, AbortedTransaction>;  // by producer and marker
  static bool covers(const Entries& entries, const protocol::BatchHeader& header);

  Entries spanning_;
  Entries of_segment_;
  std::unordered_set<int64_t> with_batches_;  // producers with a batch since their last marker
};

}  // namespace weir::storage
