// Records of `__transaction_state` in Kafka's format (docs/formats/transaction-state.md). An int16 in front of the key is the
// record's type, one in front of the value is its version.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "coordination/runtime/effects.h"
#include "coordination/transaction/transaction_messages.h"
#include "coordination/transaction/transaction_partitions.h"

namespace weir::coordination {

// What is durable about a transactional id: the content of its last record.
struct TransactionMetadata {
  int64_t producer_id = -1;
  int64_t previous_producer_id = -1;  // before this record's transition
  int64_t next_producer_id = -1;      // after the end of the transaction, if its end gives the producer another id
  int16_t producer_epoch = -1;
  int32_t timeout_ms = 0;
  TransactionState state = TransactionState::kEmpty;
  TransactionPartitions partitions;  // while it is open or being ended
  int64_t last_update_ms = -1;
  int64_t start_ms = -1;
  TransactionVersion client_version = TransactionVersion::kZero;
  bool operator==(const TransactionMetadata&) const = default;
};

struct TransactionRecord {
  std::string transactional_id;
  std::optional<TransactionMetadata> value;  // nothing: it expired
};

// In the version of the level. Version 0 has no previous and next producer id and no client version.
CoordinatorRecord encode(const TransactionRecord& record, TransactionVersion level);
// An error if it does not decode, or has a type or version that is not known.
Result<TransactionRecord> parse_transaction_record(Bytes key, std::optional<Bytes> value);

}  // namespace weir::coordination
