#include "storage/log/transaction_guards.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace weir::storage {

using protocol::ErrorCode;

namespace {

constexpr int16_t kAnyEpoch = std::numeric_limits<int16_t>::min();

bool means_later(ErrorCode error) {
  return error == ErrorCode::kNotEnoughReplicas || error == ErrorCode::kConcurrentTransactions;
}

}  // namespace

Verification TransactionGuards::guard(const PartitionId& partition, const TransactionalBatch& batch, int64_t now_ms) {
  const auto [at, made] = guards_.try_emplace({partition, batch.producer_id, batch.producer_epoch});
  Guard& guard = at->second;
  if (made) {
    guard.serial = ++last_serial_;
    guard.epoch_per_transaction = batch.transaction_version >= kEpochPerTransaction;
    guard.lowest_sequence = batch.base_sequence;
    guard.made_ms = now_ms;
    by_age_.emplace(guard.serial, at);
  }
  guard.lowest_sequence = std::min(guard.lowest_sequence, batch.base_sequence);
  const bool ask = made || guard.answer == Answer::kLater;
  if (ask) guard.answer = Answer::kAwaited;
  const Verification verification{guard.serial, ask};
  if (made) bound();
  return verification;
}

void TransactionGuards::when_answered(GuardSerial serial, Answered answered) {
  const auto found = by_age_.find(serial);
  if (found == by_age_.end()) return answered({});
  Guard& guard = found->second->second;
  if (guard.answer == Answer::kAwaited) return guard.waiting.push_back(std::move(answered));
  AppendResult answer;
  if (guard.answer == Answer::kLater) answer.error = ErrorCode::kNotEnoughReplicas;
  answered(std::move(answer));
}

void TransactionGuards::answered(GuardSerial serial, const AppendResult& answer) {
  const auto found = by_age_.find(serial);
  if (found == by_age_.end()) return;
  Guard& guard = found->second->second;
  std::vector<Answered> waiting = std::exchange(guard.waiting, {});
  if (answer.error == ErrorCode::kNone) guard.answer = Answer::kYes;
  else if (means_later(answer.error)) guard.answer = Answer::kLater;
  else remove(found->second);
  for (Answered& each : waiting) each(answer);
}

GuardState TransactionGuards::state(const PartitionId& partition, const BatchInfo& batch, GuardSerial serial) const {
  if (guards_.empty()) return {};
  const auto found = guards_.find({partition, batch.producer_id, batch.producer_epoch});
  if (found == guards_.end()) return {};
  const Guard& guard = found->second;
  return {guard.serial == serial && guard.answer == Answer::kYes, guard.epoch_per_transaction, guard.lowest_sequence};
}

void TransactionGuards::appended(const PartitionId& partition, const BatchInfo& batch) {
  if (guards_.empty() || !batch.transactional()) return;
  auto at = guards_.lower_bound({partition, batch.producer_id, kAnyEpoch});
  while (at != guards_.end() && at->first.partition == partition && at->first.producer_id == batch.producer_id) {
    const bool of_the_next = batch.control() ? at->second.epoch_per_transaction && at->first.epoch == batch.producer_epoch
                                             : at->first.epoch > batch.producer_epoch;
    at = of_the_next ? std::next(at) : remove(at);
  }
}

void TransactionGuards::forget(const PartitionId& partition) {
  auto at = guards_.lower_bound({partition, std::numeric_limits<int64_t>::min(), kAnyEpoch});
  while (at != guards_.end() && at->first.partition == partition) at = remove(at);
}

void TransactionGuards::expire(int64_t before_ms) {
  size_t looks = kExpiredAtOnce;
  for (auto at = by_age_.begin(); at != by_age_.end() && at->second->second.made_ms < before_ms && looks > 0; --looks) {
    const auto guard = (at++)->second;
    if (guard->second.answer != Answer::kAwaited) remove(guard);
  }
}

// Answers that are awaited are as many as there are requests.
void TransactionGuards::bound() {
  constexpr size_t kLooks = 64;
  if (guards_.size() <= most_) return;
  size_t looks = kLooks;
  for (auto at = by_age_.begin(); at != by_age_.end() && looks > 0; ++at, --looks) {
    if (at->second->second.answer == Answer::kAwaited) continue;
    remove(at->second);
    return;
  }
}

// Called within an append. Those that wait are looked at afterwards.
TransactionGuards::Guards::iterator TransactionGuards::remove(Guards::iterator guard) {
  if (!guard->second.waiting.empty()) {
    loop_.post(lifetime_.guard([waiting = std::move(guard->second.waiting)]() mutable {
      for (Answered& each : waiting) each({});
    }));
  }
  by_age_.erase(guard->second.serial);
  return guards_.erase(guard);
}

}  // namespace weir::storage
