#include "storage/log/producer_state.h"

#include <algorithm>
#include <limits>
#include <ranges>
#include <utility>

namespace weir::storage {

int32_t sequence_after(int32_t sequence, int32_t count) {
  const int64_t sum = static_cast<int64_t>(sequence) + count;
  constexpr int64_t kModulus = static_cast<int64_t>(std::numeric_limits<int32_t>::max()) + 1;
  return static_cast<int32_t>(sum % kModulus);
}

namespace {

bool in_transaction(const ProducerEntry* entry) { return entry && entry->transaction_first_offset >= 0; }

ProducerCheck check_transaction(const ProducerEntry* entry, const BatchInfo& info, const GuardState& guard) {
  if (entry && info.producer_epoch < entry->producer_epoch) return ProducerCheck::kStaleEpoch;
  if (!info.transactional()) return in_transaction(entry) ? ProducerCheck::kInTransaction : ProducerCheck::kAccept;
  const bool goes_on = in_transaction(entry) && info.producer_epoch == entry->producer_epoch;
  return goes_on || guard.verified ? ProducerCheck::kAccept : ProducerCheck::kNoTransaction;
}

// Kafka's checks of the sequence (ProducerAppendInfo.checkSequence).
bool in_sequence(const ProducerEntry* entry, const BatchInfo& info, const GuardState& guard) {
  if (guard.lowest_sequence) {
    const bool first = !entry || entry->batches.empty();
    if (first && guard.epoch_per_transaction && info.base_sequence != 0) return false;
    if (info.base_sequence > *guard.lowest_sequence) return false;
  }
  if (!entry) return true;
  const bool begins_epoch = info.producer_epoch != entry->producer_epoch || entry->batches.empty();
  return info.base_sequence == (begins_epoch ? 0 : sequence_after(entry->batches.back().last_sequence, 1));
}

}  // namespace

// The order of the checks is Kafka's (UnifiedLog.analyzeAndValidateProducerState, ProducerAppendInfo). A client whose epoch is
// stale hears of that before it hears that its transaction is not open: only so does it know that it may begin a new one.
ProducerState::Verdict ProducerState::check(const BatchInfo& info, const GuardState& guard) const {
  const ProducerEntry* const entry = find(info.producer_id);
  if (entry && info.producer_epoch == entry->producer_epoch) {
    const int32_t last_sequence = sequence_after(info.base_sequence, info.last_offset_delta);
    for (const ProducerBatch& batch : entry->batches) {
      if (batch.base_sequence == info.base_sequence && batch.last_sequence == last_sequence) {
        return {ProducerCheck::kDuplicate, batch};
      }
    }
  }
  const ProducerCheck check = check_transaction(entry, info, guard);
  const bool to_sequence = check == ProducerCheck::kAccept || check == ProducerCheck::kInTransaction;
  return {to_sequence && !in_sequence(entry, info, guard) ? ProducerCheck::kOutOfOrder : check};
}

ProducerState::Verdict ProducerState::check_coordinator(const BatchInfo& info, const GuardState& guard) const {
  return {check_transaction(find(info.producer_id), info, guard)};
}

ProducerState::Verdict ProducerState::check_marker(const BatchInfo& info) const {
  const ProducerEntry* const entry = find(info.producer_id);
  if (!entry) return {};
  const bool same_epoch = info.producer_epoch == entry->producer_epoch;
  const bool raised = info.transaction_version >= kEpochPerTransaction;
  // An epoch that cannot be raised any more has to be enough.
  const bool again = !in_transaction(entry) || info.producer_epoch == std::numeric_limits<int16_t>::max();
  if (info.producer_epoch < entry->producer_epoch || (same_epoch && raised && !again)) return {ProducerCheck::kStaleEpoch};
  if (info.coordinator_epoch < entry->coordinator_epoch) return {ProducerCheck::kFencedCoordinator};
  return {};
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
  keep_earlier(producer, info.last_offset());
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
  else if (producer.batches.size() == kProducerBatches - 1) producer.batches.reserve(kProducerBatches);  // not eight
  producer.batches.push_back({info.base_sequence, sequence_after(info.base_sequence, info.last_offset_delta), info.last_offset(),
                              info.last_offset_delta, info.max_timestamp});
  return step;
}

void ProducerState::drop_stale(Producer& producer) const {
  auto& earlier = producer.earlier;
  if (producer.last_offset < stored_as_of_) earlier.clear();  // the row is as the producer is
  while (earlier.size() > 1 && earlier[1].from <= stored_as_of_) earlier.erase(earlier.begin());
}

// Only the first batch after the point of some rows changes what they say of the producer.
void ProducerState::keep_earlier(Producer& producer, int64_t batch_end) const {
  const auto crosses = [&](int64_t as_of) { return producer.last_offset < as_of && as_of <= batch_end; };
  if (crosses(stored_as_of_) || crosses(written_as_of_)) {
    drop_stale(producer);
    producer.earlier.push_back({producer.last_offset + 1, producer});
  }
  producer.last_offset = batch_end;
}

void ProducerState::rows_are_written(int64_t as_of, std::span<const ProducerEntry> rows) {
  written_as_of_ = as_of;
  for (const ProducerEntry& row : rows) {
    const auto known = by_id_.find(row.producer_id);
    if (known == by_id_.end()) continue;  // forgotten since
    Producer& producer = *known->second;
    drop_stale(producer);
    // The first one is as of the stored rows. A second one is of a checkpoint that failed.
    if (producer.earlier.size() > 1) producer.earlier.resize(1);
    if (producer.last_offset >= as_of) producer.earlier.push_back({as_of, row});
  }
}

ProducerEntry ProducerState::stored_row(int64_t producer_id) const {
  const auto known = by_id_.find(producer_id);
  if (known == by_id_.end()) return {.producer_id = producer_id, .batches = {}};
  const Producer& producer = *known->second;
  if (producer.last_offset >= stored_as_of_) {
    for (const Earlier& one : std::views::reverse(producer.earlier)) {
      if (one.from <= stored_as_of_) return one.entry;
    }
  }
  return producer;
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
