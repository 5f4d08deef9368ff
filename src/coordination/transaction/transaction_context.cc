#include "coordination/transaction/transaction_context.h"

#include <fmt/format.h>

#include <utility>

#include "base/counted.h"
#include "base/log.h"
#include "base/printable.h"

namespace weir::coordination {
namespace {

// What a record of the level's version keeps: memory must not know more than the log.
TransactionMetadata as_stored(TransactionMetadata to, TransactionVersion level) {
  if (level != TransactionVersion::kZero) return to;
  to.previous_producer_id = to.next_producer_id = -1;
  to.client_version = TransactionVersion::kZero;
  return to;
}

int64_t size_of(const CoordinatorRecord& record) {
  return static_cast<int64_t>(record.key.size() + (record.value ? record.value->size() : 0));
}

}  // namespace

TransactionContext::Transition TransactionContext::transition(const std::string& transactional_id, TransactionMetadata to) const {
  const TransactionVersion now = level.get();
  const Transaction* before = transactions.find(transactional_id);
  to.previous_producer_id = before == nullptr ? to.producer_id : before->is.producer_id;
  TransactionRecord record{transactional_id, as_stored(std::move(to), now)};
  CoordinatorRecord encoded = encode(record, now);
  return {std::move(record), std::move(encoded)};
}

void TransactionContext::make(Transition transition, Effects& effects) {
  effects.append(std::move(transition.encoded));
  transactions.apply(std::move(transition.record));
}

bool TransactionContext::emit(const std::string& transactional_id, TransactionMetadata to, Effects& effects,
                              int64_t spare_bytes) {
  Transition made = transition(transactional_id, std::move(to));
  if (size_of(made.encoded) + spare_bytes > record_bytes_max) return false;
  make(std::move(made), effects);
  return true;
}

void TransactionContext::emit_smaller(const std::string& transactional_id, TransactionMetadata to, Effects& effects) {
  make(transition(transactional_id, std::move(to)), effects);
}

void TransactionContext::emit_tombstone(const std::string& transactional_id, Effects& effects) {
  TransactionRecord record{transactional_id, std::nullopt};
  CoordinatorRecord encoded = encode(record, level.get());
  make({std::move(record), std::move(encoded)}, effects);
}

void TransactionContext::set_timeout(Transaction& transaction, int64_t left_ms, Instant now) {
  const bool endless = transaction.is.timeout_ms == std::numeric_limits<int32_t>::max();
  transaction.times_out_ms = endless ? StateMachine::kNever : now.monotonic_ms + left_ms;
  if (!endless) deadlines.set({TransactionDeadline::Kind::kTimeout, transaction.id}, transaction.times_out_ms);
}

void TransactionContext::warn_of_memory(Instant now) {
  if (!memory.refused(now.monotonic_ms)) return;
  log_warn("transactions",
           "Transactions hold {} of {} MiB: producers with new transactional ids are asked to try again later. Lower "
           "transactional.id.expiration.ms, or raise weir.max.memory.bytes.",
           memory.used_bytes() >> 20, memory.limit_bytes() >> 20);
}

void TransactionContext::tell(const Transaction& transaction, LogLevel severity, std::string_view what, Instant now) {
  uint64_t suppressed = 0;
  if (!log_enabled(severity) || !lines.admit(now.monotonic_ms, suppressed)) return;
  log_line(severity, "transactions",
           fmt::format("Transaction of {} (producer {}, epoch {}) {}{}", quoted(transaction.id, 256), transaction.is.producer_id,
                       transaction.is.producer_epoch, what,
                       suppressed ? fmt::format(" ({} about transactions unreported)", counted(suppressed, "more line"))
                                  : std::string()));
}

}  // namespace weir::coordination
