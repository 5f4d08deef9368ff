// Finds the open transactions of a log from its batches, first to last. For tools that read files. A running partition knows more
// (log/partition.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>

#include "storage/types.h"

namespace weir::storage {

class OpenTransactions {
 public:
  // Takes the next batch. Returns the transaction that the batch ends, if that transaction was aborted and began in the log.
  std::optional<AbortedTransaction> note(const BatchInfo& info) {
    if (info.producer_id < 0) return std::nullopt;
    if (!info.ends_transaction()) {
      if (info.transactional()) first_offsets_.try_emplace(info.producer_id, info.base_offset);
      return std::nullopt;
    }
    const auto open = first_offsets_.find(info.producer_id);
    if (open == first_offsets_.end()) return std::nullopt;
    AbortedTransaction ended{info.producer_id, open->second, info.last_offset(), info.next_offset()};
    first_offsets_.erase(open);
    if (info.control_type != BatchInfo::kAbort) return std::nullopt;
    for (const auto& [producer, first] : first_offsets_) ended.last_stable_offset = std::min(ended.last_stable_offset, first);
    return ended;
  }

  const std::map<int64_t, int64_t>& first_offsets() const { return first_offsets_; }  // by producer id

 private:
  std::map<int64_t, int64_t> first_offsets_;
};

}  // namespace weir::storage
