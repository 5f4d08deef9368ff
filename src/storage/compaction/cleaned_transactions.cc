#include "storage/compaction/cleaned_transactions.h"

#include <algorithm>

namespace weir::storage {

void CleanedTransactions::add_spanning(std::span<const AbortedTransaction> entries, int64_t segment_base_offset, int64_t below) {
  for (const AbortedTransaction& entry : entries) {
    if (entry.first_offset < std::min(segment_base_offset, below)) {
      spanning_.emplace(std::pair(entry.producer_id, entry.last_offset), entry);
    }
  }
}

void CleanedTransactions::begin_segment(std::span<const AbortedTransaction> entries) {
  of_segment_.clear();
  for (const AbortedTransaction& entry : entries) {
    of_segment_.emplace(std::pair(entry.producer_id, entry.last_offset), entry);
  }
}

bool CleanedTransactions::covers(const Entries& entries, const protocol::BatchHeader& header) {
  if (entries.empty()) return false;
  const auto ended = entries.lower_bound({header.producer_id, header.base_offset});
  return ended != entries.end() && ended->first.first == header.producer_id && ended->second.first_offset <= header.base_offset;
}

bool CleanedTransactions::is_aborted(const protocol::BatchHeader& header) const {
  if (!header.transactional() || header.control()) return false;
  return covers(of_segment_, header) || covers(spanning_, header);
}

bool CleanedTransactions::is_needless(const protocol::BatchHeader& header) {
  if (!header.transactional()) return false;
  if (header.control()) return with_batches_.erase(header.producer_id) == 0;
  with_batches_.insert(header.producer_id);
  return is_aborted(header);
}

const AbortedTransaction* CleanedTransactions::entry_of(const protocol::BatchHeader& marker) const {
  const auto found = of_segment_.find({marker.producer_id, marker.last_offset()});
  return found == of_segment_.end() ? nullptr : &found->second;
}

}  // namespace weir::storage
