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
  const ProducerEntry* known = find(facts.producer_id);
  if (!known) return {};
  const ProducerEntry& entry = *known;
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

ProducerState::Verdict ProducerState::check_epoch(const BatchFacts& facts) const {
  const ProducerEntry* known = find(facts.producer_id);
  return {known && facts.producer_epoch < known->producer_epoch ? SequenceCheck::kStaleEpoch : SequenceCheck::kAccept, {}};
}

ProducerEntry& ProducerState::newest(int64_t producer_id) {
  const auto [known, first] = by_id_.try_emplace(producer_id);
  if (first) known->second = by_age_.emplace(by_age_.end());
  else by_age_.splice(by_age_.end(), by_age_, known->second);
  known->second->producer_id = producer_id;
  return *known->second;
}

void ProducerState::update(const BatchFacts& facts, int64_t now_ms) {
  if (facts.producer_id == kNoProducerId) return;
  ProducerEntry& entry = newest(facts.producer_id);
  if (facts.producer_epoch != entry.producer_epoch) {
    entry.producer_epoch = facts.producer_epoch;
    entry.batches.clear();
  }
  entry.last_timestamp = now_ms;
  if (facts.control()) {
    if (!facts.ends_transaction()) return;
    entry.coordinator_epoch = facts.coordinator_epoch;
    entry.transaction_first_offset = -1;
    return;
  }
  if (facts.transactional() && entry.transaction_first_offset < 0) entry.transaction_first_offset = facts.base_offset;
  if (facts.base_sequence == kNoSequence) return;
  if (entry.batches.size() == kProducerBatches) entry.batches.erase(entry.batches.begin());
  entry.batches.push_back({facts.base_sequence, sequence_after(facts.base_sequence, facts.last_offset_delta), facts.last_offset(),
                           facts.last_offset_delta, facts.max_timestamp});
}

std::vector<int64_t> ProducerState::expire(int64_t before) {
  std::vector<int64_t> expired;
  for (size_t looks = std::min(size(), kExpiredAtOnce); looks > 0 && by_age_.front().last_timestamp < before; --looks) {
    if (by_age_.front().transaction_first_offset >= 0) by_age_.splice(by_age_.end(), by_age_, by_age_.begin());
    else expired.push_back(*evict());
  }
  std::sort(expired.begin(), expired.end());
  return expired;
}

std::optional<int64_t> ProducerState::evict() {
  const auto oldest =
      std::ranges::find_if(by_age_, [](const ProducerEntry& entry) { return entry.transaction_first_offset < 0; });
  if (oldest == by_age_.end()) return std::nullopt;
  const int64_t id = oldest->producer_id;
  by_id_.erase(id);
  by_age_.erase(oldest);
  return id;
}

void ProducerState::restore(std::vector<ProducerEntry> entries) {
  std::ranges::sort(entries, {}, &ProducerEntry::last_timestamp);
  for (ProducerEntry& entry : entries) newest(entry.producer_id) = std::move(entry);
}

const ProducerEntry* ProducerState::find(int64_t producer_id) const {
  const auto it = by_id_.find(producer_id);
  return it == by_id_.end() ? nullptr : &*it->second;
}

}  // namespace weir::storage
