// Packs the entries of a coordinator's log into record batches, in their order. Entries of one origin share a batch up to
// kBatchBytes. Joined entries share one in any case. A marker is a batch of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "coordination/runtime/effects.h"
#include "protocol/record_batch_builder.h"

namespace weir::coordination {

class EntryBatches {
 public:
  static constexpr size_t kBatchBytes = size_t{512} << 10;

  explicit EntryBatches(std::vector<LogEntry> entries) : entries_(std::move(entries)) {}

  // The next batch, whose records are as of `timestamp_ms`; valid until the next call. Nothing: all were given.
  std::optional<Bytes> next(int64_t timestamp_ms);

 private:
  // The end of the entries that may not be parted from entry `first`.
  size_t end_of_joined(size_t first) const;

  std::vector<LogEntry> entries_;
  size_t next_ = 0;
  protocol::RecordBatchBuilder builder_;
};

}  // namespace weir::coordination
