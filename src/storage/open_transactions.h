// Which transactions are open in a log, by its batches from first to last. For tools that read files; a running partition knows
// more (log/partition.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>

#include "storage/types.h"

namespace weir::storage {

class OpenTransactions {
 public:
  // The transaction that the batch is the end of, if it was aborted and began in the log.
  std::optional<AbortedTransaction> note(const BatchFacts& facts) {
    if (facts.producer_id < 0) return std::nullopt;
    if (!facts.ends_transaction()) {
      if (facts.transactional()) first_offsets_.try_emplace(facts.producer_id, facts.base_offset);
      return std::nullopt;
    }
    const auto open = first_offsets_.find(facts.producer_id);
    if (open == first_offsets_.end()) return std::nullopt;
    AbortedTransaction ended{facts.producer_id, open->second, facts.last_offset(), facts.next_offset()};
    first_offsets_.erase(open);
    if (facts.control_type != BatchFacts::kAbort) return std::nullopt;
    for (const auto& [producer, first] : first_offsets_) ended.last_stable_offset = std::min(ended.last_stable_offset, first);
    return ended;
  }

  const std::map<int64_t, int64_t>& first_offsets() const { return first_offsets_; }  // by producer id

 private:
  std::map<int64_t, int64_t> first_offsets_;
};

}  // namespace weir::storage
