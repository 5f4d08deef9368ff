// What the log of a partition is asked about transactions: whether a batch begins one, to end one, and which are open.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "storage/types.h"

namespace weir::storage {

// Names a guard (transaction_guards.h). None is given twice by one shard.
using GuardSerial = uint64_t;
inline constexpr GuardSerial kNoGuard = 0;

// From 2 on each transaction has an epoch of its own (KIP-890).
inline constexpr int16_t kEpochPerTransaction = 2;

// A transactional batch that comes, as its header and its request tell. `transaction_version` is that of the request: 2 from
// Produce 12 and TxnOffsetCommit 5 on.
struct TransactionalBatch {
  int64_t producer_id = kNoProducerId;
  int16_t producer_epoch = -1;
  int32_t base_sequence = 0;
  int16_t transaction_version = 0;
};

// What the producer's guard says of a batch.
struct GuardState {
  bool verified = false;                        // the batch has this guard, and the coordinator agreed
  bool epoch_per_transaction = false;           // transaction version 2
  std::optional<int32_t> lowest_sequence = {};  // that came for the guard, if there is one
};

// The answer of LogShard::check_producer.
struct Verification {
  GuardSerial guard = kNoGuard;  // kNoGuard: the batch needs none
  bool ask = false;              // the transaction's coordinator has to be asked
};

// The end of a transaction in a partition. `transaction_version` decides which epochs it may have.
struct MarkerAppend {
  int64_t producer_id = kNoProducerId;
  int16_t producer_epoch = -1;
  int32_t coordinator_epoch = -1;
  bool commit = false;
  int16_t transaction_version = 0;
  // If set, the marker is refused with INVALID_TXN_STATE unless the producer's open transaction began at this offset.
  std::optional<int64_t> only_first_offset = {};
};

// What an append brings beside its records.
struct AppendOptions {
  GuardSerial guard = kNoGuard;                   // of a transactional batch
  int16_t transaction_version = 0;                // of a marker
  std::optional<int64_t> only_first_offset = {};  // as in MarkerAppend
};

// A transaction that has neither been committed nor aborted in a partition.
struct OpenTransaction {
  PartitionId partition;
  int64_t first_offset = -1;
  int64_t producer_id = kNoProducerId;
  int16_t producer_epoch = -1;
  int32_t coordinator_epoch = -1;         // -1: no marker of the producer is known
  int64_t last_timestamp = kNoTimestamp;  // of the producer's last batch here: wall clock, ms
  bool operator==(const OpenTransaction&) const = default;
};

// Some of a shard's open transactions. In the order of their partitions and of their first offsets.
struct OpenTransactions {
  struct Position {
    PartitionId partition = {};
    int64_t first_offset = 0;
  };
  std::vector<OpenTransaction> found;
  std::optional<Position> next;  // where the next ones begin; none: these were the last ones
};

}  // namespace weir::storage
