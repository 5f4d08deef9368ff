// The shared state of a transaction coordinator's parts, and the one way to change durable state: emit() applies a record by the
// code that replay uses, and gives it to the log.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/rate_limit.h"
#include "coordination/runtime/deadlines.h"
#include "coordination/runtime/state_machine.h"
#include "coordination/transaction/producer_ids.h"
#include "coordination/transaction/transaction_config.h"
#include "coordination/transaction/transactions.h"

namespace weir::coordination {

struct TransactionDeadline {
  enum class Kind : uint8_t { kTimeout, kParked, kMarkers, kExpiryCheck, kExpirySlice };
  Kind kind{};
  std::string transactional_id = {};
  auto operator<=>(const TransactionDeadline&) const = default;
};

// Of tokens.
enum class TransactionWork : int { kProducerId, kMarker };

struct TransactionContext {
  // `level_now` and `all_memory` outlive the context.
  TransactionContext(const TransactionConfig& transaction_config, int32_t epoch, const TransactionLevel& level_now,
                     TransactionMemory& all_memory)
      : config(transaction_config), coordinator_epoch(epoch), level(level_now), memory(all_memory), transactions(all_memory) {}
  TransactionContext(const TransactionContext&) = delete;
  TransactionContext& operator=(const TransactionContext&) = delete;

  // A transaction makes a transition, or a new id comes to be. The previous producer id is filled in. Returns false if the record
  // and `spare_bytes` are more than a record may have: then nothing has happened.
  [[nodiscard]] bool emit(const std::string& transactional_id, TransactionMetadata to, Effects& effects, int64_t spare_bytes = 0);
  // The same for a transition that cannot be refused, to a smaller record than the last one.
  void emit_smaller(const std::string& transactional_id, TransactionMetadata to, Effects& effects);
  void emit_tombstone(const std::string& transactional_id, Effects& effects);

  // An Ongoing one is aborted after `left_ms`. One with the longest timeout there is stays open, as Kafka has it for a commit in
  // two phases.
  void set_timeout(Transaction& transaction, int64_t left_ms, Instant now);
  // A client was refused.
  void warn_of_memory(Instant now);
  // Lines of the process log about transactions, a bounded number.
  void tell(const Transaction& transaction, LogLevel severity, std::string_view what, Instant now);

  const TransactionConfig config;
  const int32_t coordinator_epoch;
  const TransactionLevel& level;
  TransactionMemory& memory;
  ImagePtr image;
  Transactions transactions;
  ProducerIds producer_ids{static_cast<int>(TransactionWork::kProducerId)};
  // A deadline is not cancelled: when it comes, the transaction says whether it still holds.
  Deadlines<TransactionDeadline> deadlines;
  TransactionTotals totals;  // those that count events
  RateLimit lines{20};
  int64_t record_bytes_max = std::numeric_limits<int64_t>::max();

 private:
  struct Transition {
    TransactionRecord record;
    CoordinatorRecord encoded;
  };
  Transition transition(const std::string& transactional_id, TransactionMetadata to) const;
  void make(Transition transition, Effects& effects);
};

}  // namespace weir::coordination
