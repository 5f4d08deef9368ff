#include "storage/log/producer_state.h"

#include <algorithm>
#include <limits>

namespace weir::storage {

int32_t sequence_after(int32_t sequence, int32_t count) {
  const int64_t sum = static_cast<int64_t>(sequence) + count;
  constexpr int64_t kModulus = static_cast<int64_t>(std::numeric_limits<int32_t>::max()) + 1;
  return static_cast<int32_t>(sum % kModulus);
}

ProducerState::Verdict ProducerState::check(const BatchFacts& facts) const {
  const auto it = entries_.find(facts.producer_id);
  if (it == entries_.end()) {
    // A producer that expired here (or lost its history to retention) goes on with its sequence; Kafka accepts that.
    return {};
  }
  const ProducerEntry& entry = it->second;
  if (facts.producer_epoch < entry.producer_epoch) return {SequenceCheck::kStaleEpoch, {}};
  if (facts.producer_epoch > entry.producer_epoch) {
    return {facts.base_sequence == 0 ? SequenceCheck::kAccept : SequenceCheck::kOutOfOrder, {}};
  }
  const int32_t last_sequence = sequence_after(facts.base_sequence, facts.last_offset_delta);
  for (const ProducerBatch& batch : entry.batches) {
    if (batch.base_sequence == facts.base_sequence && batch.last_sequence == last_sequence) {
      return {SequenceCheck::kDuplicate, batch};
    }
  }
  if (entry.batches.empty()) return {};  // only markers seen in this epoch
  const int32_t expected = sequence_after(entry.batches.back().last_sequence, 1);
  return {facts.base_sequence == expected ? SequenceCheck::kAccept : SequenceCheck::kOutOfOrder, {}};
}

void ProducerState::update(const BatchFacts& facts, int64_t timestamp) {
  if (facts.producer_id == kNoProducerId) return;
  ProducerEntry& entry = entries_[facts.producer_id];
  entry.producer_id = facts.producer_id;
  if (facts.producer_epoch != entry.producer_epoch) {
    entry.producer_epoch = facts.producer_epoch;
    entry.batches.clear();
  }
  entry.last_timestamp = timestamp;
  if (facts.control_type >= 0) {
    entry.coordinator_epoch = facts.coordinator_epoch;
    entry.transaction_first_offset = -1;
    return;
  }
  if (facts.base_sequence == kNoSequence) return;
  if (entry.batches.size() == kProducerBatches) entry.batches.erase(entry.batches.begin());
  entry.batches.push_back({facts.base_sequence, sequence_after(facts.base_sequence, facts.last_offset_delta),
                           facts.last_offset(), facts.last_offset_delta, timestamp});
}

std::vector<int64_t> ProducerState::expire(int64_t before) {
  std::vector<int64_t> expired;
  for (const auto& [id, entry] : entries_) {
    if (entry.last_timestamp < before && entry.transaction_first_offset < 0) expired.push_back(id);
  }
  for (int64_t id : expired) entries_.erase(id);
  std::sort(expired.begin(), expired.end());
  return expired;
}

void ProducerState::restore(ProducerEntry entry) {
  const int64_t id = entry.producer_id;
  entries_[id] = std::move(entry);
}

const ProducerEntry* ProducerState::find(int64_t producer_id) const {
  const auto it = entries_.find(producer_id);
  return it == entries_.end() ? nullptr : &it->second;
}

}  // namespace weir::storage
