#include "storage/log/producer_state.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace weir::storage {

int32_t sequence_after(int32_t sequence, int32_t count) {
  const int64_t sum = static_cast<int64_t>(sequence) + count;
  constexpr int64_t kModulus = static_cast<int64_t>(std::numeric_limits<int32_t>::max()) + 1;
  return static_cast<int32_t>(sum % kModulus);
}

ProducerState::Verdict ProducerState::check(const BatchInfo& info) const {
  const ProducerEntry* known = find(info.producer_id);
  if (!known) return {};
  const ProducerEntry& entry = *known;
  if (info.producer_epoch < entry.producer_epoch) return {SequenceCheck::kStaleEpoch, {}};
  if (info.producer_epoch > entry.producer_epoch) {
    return {info.base_sequence == 0 ? SequenceCheck::kAccept : SequenceCheck::kOutOfOrder, {}};
  }
  const int32_t last_sequence = sequence_after(info.base_sequence, info.last_offset_delta);
  for (const ProducerBatch& batch : entry.batches) {
    if (batch.base_sequence == info.base_sequence && batch.last_sequence == last_sequence) {
      return {SequenceCheck::kDuplicate, batch};
    }
  }
  if (entry.batches.empty()) return {};  // only markers seen in this epoch
  const int32_t expected = sequence_after(entry.batches.back().last_sequence, 1);
  return {info.base_sequence == expected ? SequenceCheck::kAccept : SequenceCheck::kOutOfOrder, {}};
}

ProducerState::Verdict ProducerState::check_epoch(const BatchInfo& info) const {
  const ProducerEntry* known = find(info.producer_id);
  return {known && info.producer_epoch < known->producer_epoch ? SequenceCheck::kStaleEpoch : SequenceCheck::kAccept, {}};
}

ProducerState::Producer& ProducerState::newest(int64_t producer_id) {
  const auto [known, first] = by_id_.try_emplace(producer_id);
  if (first) known->second = by_age_.emplace(by_age_.end());
  else by_age_.splice(by_age_.end(), by_age_, known->second);
  known->second->producer_id = producer_id;
  return *known->second;
}

ProducerState::TransactionStep ProducerState::update(const BatchInfo& info, int64_t now_ms) {
  TransactionStep step;
  if (info.producer_id == kNoProducerId) return step;
  Producer& producer = newest(info.producer_id);
  if (info.producer_epoch != producer.producer_epoch) {
    producer.producer_epoch = info.producer_epoch;
    producer.batches.clear();
  }
  producer.last_timestamp = now_ms;
  if (info.control()) {
    if (!info.ends_transaction()) return step;
    producer.coordinator_epoch = info.coordinator_epoch;
    step.ended = std::exchange(producer.transaction_first_offset, -1);
    if (step.ended >= 0) producer.last_end_offset = info.last_offset();
    return step;
  }
  if (info.transactional() && producer.transaction_first_offset < 0) {
    step.begun = producer.transaction_first_offset = info.base_offset;
  }
  if (info.base_sequence == kNoSequence) return step;
  if (producer.batches.size() == kProducerBatches) producer.batches.erase(producer.batches.begin());
  producer.batches.push_back({info.base_sequence, sequence_after(info.base_sequence, info.last_offset_delta), info.last_offset(),
                              info.last_offset_delta, info.max_timestamp});
  return step;
}

std::vector<int64_t> ProducerState::expire(int64_t before, int64_t checkpointed_end) {
  std::vector<int64_t> expired;
  for (size_t looks = std::min(size(), kExpiredAtOnce); looks > 0 && by_age_.front().last_timestamp < before; --looks) {
    if (by_age_.front().may_be_forgotten(checkpointed_end)) {
      expired.push_back(by_age_.front().producer_id);
      forget_oldest();
    } else {
      by_age_.splice(by_age_.end(), by_age_, by_age_.begin());
    }
  }
  std::sort(expired.begin(), expired.end());
  return expired;
}

std::optional<int64_t> ProducerState::evict(int64_t checkpointed_end) {
  for (size_t looks = std::min(size(), kEvictionLooks); looks > 0; --looks) {
    const Producer& oldest = by_age_.front();
    if (oldest.may_be_forgotten(checkpointed_end)) {
      const int64_t id = oldest.producer_id;
      forget_oldest();
      return id;
    }
    by_age_.splice(by_age_.end(), by_age_, by_age_.begin());
  }
  return std::nullopt;
}

void ProducerState::forget_oldest() {
  by_id_.erase(by_age_.front().producer_id);
  by_age_.pop_front();
}

void ProducerState::restore(std::vector<ProducerEntry> entries) {
  std::ranges::sort(entries, {}, &ProducerEntry::last_timestamp);
  for (ProducerEntry& entry : entries) static_cast<ProducerEntry&>(newest(entry.producer_id)) = std::move(entry);
}

const ProducerEntry* ProducerState::find(int64_t producer_id) const {
  const auto it = by_id_.find(producer_id);
  return it == by_id_.end() ? nullptr : &*it->second;
}

}  // namespace weir::storage
