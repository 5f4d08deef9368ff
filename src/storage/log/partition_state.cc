#include "storage/log/partition_state.h"

#include <algorithm>

namespace weir::storage {

void PartitionState::restore(int64_t end_offset, const std::vector<EpochStart>& epochs, std::vector<ProducerEntry> producers) {
  end_offset_ = end_offset;
  for (const EpochStart& epoch : epochs) note_epoch(epoch.epoch, epoch.start_offset);
  for (const ProducerEntry& entry : producers) {
    if (entry.transaction_first_offset >= 0) open_.emplace(entry.transaction_first_offset, entry.producer_id);
  }
  producers_.restore(std::move(producers));
}

void PartitionState::apply(const BatchInfo& info, int64_t time_ms) {
  if (info.next_offset() > end_offset_) {
    note_epoch(info.leader_epoch, info.base_offset);
    end_offset_ = info.next_offset();
  }
  if (info.producer_id < 0) return;
  const auto [begun, ended] = producers_.update(info, time_ms);
  if (begun >= 0) open_.emplace(begun, info.producer_id);
  if (ended >= 0) end_transaction(ended, info);
}

void PartitionState::end_transaction(int64_t first_offset, const BatchInfo& marker) {
  open_.erase(first_offset);
  while (!decided_.empty() && decided_.back().first_offset > first_offset) decided_.pop_back();
  decided_.push_back({first_offset, marker.last_offset()});
  if (marker.control_type != BatchInfo::kAbort) return;
  const int64_t stable = open_.empty() ? marker.next_offset() : open_.begin()->first;
  aborted_.push_back({marker.producer_id, first_offset, marker.last_offset(), stable});
}

int64_t PartitionState::first_unstable_offset() const {
  const int64_t open = open_.empty() ? kNoneUnstable : open_.begin()->first;
  return decided_.empty() ? open : std::min(open, decided_.front().first_offset);
}

void PartitionState::note_durable(int64_t high_watermark) {
  const auto left = std::ranges::find_if(decided_, [&](const Decided& one) { return one.marker_offset >= high_watermark; });
  decided_.erase(decided_.begin(), left);
}

void PartitionState::forget_aborted_before(int64_t offset) {
  aborted_.erase(aborted_.begin(), std::ranges::lower_bound(aborted_, offset, {}, &AbortedTransaction::last_offset));
}

// As Kafka's TransactionIndex.collectAbortedTxns.
void PartitionState::list_aborted(int64_t from, int64_t end, std::vector<AbortedTransaction>& aborted) const {
  auto at = std::ranges::lower_bound(aborted_, from, {}, &AbortedTransaction::last_offset);
  for (; at != aborted_.end(); ++at) {
    if (at->first_offset < end) aborted.push_back(*at);
    if (at->last_stable_offset >= end) return;
  }
}

int32_t PartitionState::epoch_at(int64_t offset) const {
  const auto next = std::upper_bound(epochs_.begin(), epochs_.end(), offset,
                                     [](int64_t value, const EpochStart& entry) { return value < entry.start_offset; });
  return next == epochs_.begin() ? -1 : std::prev(next)->epoch;
}

void PartitionState::forget_epochs_before(int64_t log_start_offset) {
  while (epochs_.size() > 1 && epochs_[1].start_offset <= log_start_offset) epochs_.erase(epochs_.begin());
}

// Earlier versions of Kafka wrote batches without one (-1).
void PartitionState::note_epoch(int32_t epoch, int64_t start_offset) {
  epoch = std::min(epoch, highest_epoch_);
  if (epoch >= 0 && (epochs_.empty() || epoch > epochs_.back().epoch)) epochs_.push_back({epoch, start_offset});
}

}  // namespace weir::storage
