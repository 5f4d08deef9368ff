// Settings of a transaction coordinator, under Kafka's names where Kafka has them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "coordination/runtime/memory_bound.h"
#include "coordination/transaction/transaction_messages.h"

namespace weir::coordination {

struct TransactionConfig {
  int32_t transaction_max_timeout_ms = 900'000;
  int64_t transactional_id_expiration_ms = 7ll * 24 * 3'600 * 1'000;
  int64_t remove_expired_interval_ms = 3'600'000;  // transaction.remove.expired.transaction.cleanup.interval.ms
  size_t partitions_max = 10'000;                  // of a transaction
};

// The finalized level of the feature transaction.version. Thread-safe.
class TransactionLevel {
 public:
  explicit TransactionLevel(TransactionVersion level = TransactionVersion::kTwo) : level_(level) {}
  TransactionVersion get() const { return level_.load(std::memory_order_relaxed); }
  void set(TransactionVersion level) { level_.store(level, std::memory_order_relaxed); }

 private:
  std::atomic<TransactionVersion> level_;
};

// The bound of the transactions of all coordinators of a process: first no new transactional ids, then no further partitions.
// Thread-safe.
class TransactionMemory final : public MemoryBound {
 public:
  using MemoryBound::MemoryBound;
  bool full_for_ids() const { return full_to(7); }
  bool full_for_partitions() const { return full_to(8); }
};

}  // namespace weir::coordination
