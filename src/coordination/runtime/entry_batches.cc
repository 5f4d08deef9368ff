#include "coordination/runtime/entry_batches.h"

#include <variant>

namespace weir::coordination {
namespace {

// The most bytes of a record beside its key and value.
constexpr size_t kRecordOverhead = 32;

size_t size_of(const LogEntry& entry) {
  const auto& record = std::get<CoordinatorRecord>(entry.what);
  return kRecordOverhead + record.key.size() + (record.value ? record.value->size() : 0);
}

bool is_marker(const LogEntry& entry) { return std::holds_alternative<TransactionMarker>(entry.what); }

}  // namespace

size_t EntryBatches::end_of_joined(size_t first) const {
  size_t end = first + 1;
  while (end < entries_.size() && entries_[end].joined) ++end;
  return end;
}

std::optional<Bytes> EntryBatches::next(int64_t timestamp_ms) {
  if (next_ == entries_.size()) return std::nullopt;
  const LogEntry& first = entries_[next_];
  protocol::BatchOptions options;
  if (const auto* marker = std::get_if<TransactionMarker>(&first.what)) {
    options.producer_id = marker->producer_id;
    options.producer_epoch = marker->producer_epoch;
    options.transactional = options.control = true;
    builder_.clear(options);
    builder_.append_end_marker(timestamp_ms, marker->commit, marker->coordinator_epoch);
    ++next_;
    return builder_.finish();
  }
  options.producer_id = first.origin.producer_id;
  options.producer_epoch = first.origin.producer_epoch;
  options.transactional = first.origin.transactional;
  if (options.producer_id >= 0) options.base_sequence = 0;  // as in Kafka, whose coordinators have no sequence of their own
  builder_.clear(options);
  while (next_ < entries_.size() && !is_marker(entries_[next_]) && entries_[next_].origin == first.origin) {
    const size_t end = end_of_joined(next_);
    size_t bytes = builder_.size();
    for (size_t i = next_; i < end; ++i) bytes += size_of(entries_[i]);
    if (builder_.count() > 0 && bytes > kBatchBytes) break;
    for (; next_ < end; ++next_) {
      const auto& record = std::get<CoordinatorRecord>(entries_[next_].what);
      std::optional<Bytes> value;
      if (record.value) value = as_bytes(*record.value);
      builder_.append(timestamp_ms, as_bytes(record.key), value);
    }
  }
  return builder_.finish();
}

}  // namespace weir::coordination
