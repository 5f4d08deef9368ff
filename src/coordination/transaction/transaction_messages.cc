#include "coordination/transaction/transaction_messages.h"

#include <algorithm>
#include <iterator>

namespace weir::coordination {
namespace {

constexpr std::string_view kNames[kTransactionStates] = {"Empty",        "Ongoing",        "PrepareCommit",
                                                         "PrepareAbort", "CompleteCommit", "CompleteAbort"};

}  // namespace

std::string_view name_of(TransactionState state) { return kNames[static_cast<size_t>(state)]; }

bool is_transaction_state(std::string_view name) {
  return std::ranges::find(kNames, name) != std::end(kNames) || name == "Dead" || name == "PrepareEpochFence";
}

void EndingTimes::add(int64_t ms) {
  size_t bucket = 0;
  while (bucket + 1 < kBuckets && ms > bound_ms(bucket)) ++bucket;
  ++counts[bucket];
  sum_ms += ms;
}

EndingTimes& EndingTimes::operator+=(const EndingTimes& other) {
  for (size_t i = 0; i < kBuckets; ++i) counts[i] += other.counts[i];
  sum_ms += other.sum_ms;
  return *this;
}

TransactionTotals& TransactionTotals::operator+=(const TransactionTotals& other) {
  for (size_t i = 0; i < kTransactionStates; ++i) by_state[i] += other.by_state[i];
  parked += other.parked;
  markers_outstanding += other.markers_outstanding;
  markers_to_retry += other.markers_to_retry;
  if (oldest_open_start_ms < 0 || (other.oldest_open_start_ms >= 0 && other.oldest_open_start_ms < oldest_open_start_ms)) {
    oldest_open_start_ms = other.oldest_open_start_ms;
  }
  commits += other.commits;
  aborts += other.aborts;
  timeouts += other.timeouts;
  expired_ids += other.expired_ids;
  markers_written += other.markers_written;
  marker_retries += other.marker_retries;
  endings += other.endings;
  return *this;
}

}  // namespace weir::coordination
