// Asks the coordinator of a transaction about partitions that its batches go to (KIP-890): whether they are part of the
// transaction, or, for clients of transaction.version 2, to add them to it. A request has one question for all its partitions on
// a shard. The coordinator's answer goes to the guards of the log (storage/log/transaction_guards.h), behind which the batches
// wait. Partitions in which the transaction is open already need no question.
//
// transaction.partition.verification.enable=false spares the questions of older clients only, as in Kafka.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "broker/coordinators/coordinators.h"
#include "coordination/transaction/transaction_messages.h"
#include "protocol/errors.h"
#include "storage/log/append_result.h"
#include "storage/log/transactions.h"

namespace weir::storage {
class Partition;
}

namespace weir::broker {

struct BrokerShard;

// How the batches of a request are verified, by its API and version.
struct VerifiedRequest {
  coordination::TransactionVersion transaction_version{};
  bool knows_abortable = false;  // TRANSACTION_ABORTABLE; others are told INVALID_TXN_STATE
  bool produces = false;

  static VerifiedRequest produce(int16_t version) { return of(version, 12, 11, true); }
  static VerifiedRequest txn_offset_commit(int16_t version) { return of(version, 5, 4, false); }
  bool adds() const { return transaction_version == coordination::TransactionVersion::kTwo; }

 private:
  static VerifiedRequest of(int16_t version, int16_t first_of_two, int16_t first_with_abortable, bool produces) {
    using enum coordination::TransactionVersion;
    return {version >= first_of_two ? kTwo : kZero, version >= first_with_abortable, produces};
  }
};

// The answer to the batches of a request after the coordinator's `error`; none: they are verified. Producers do not know the
// errors of a coordinator, and send their batches again after NOT_ENOUGH_REPLICAS.
storage::AppendResult verification_answer(protocol::ErrorCode error, const VerifiedRequest& request);

// A question of one request on one shard, on the shard's loop.
class VerificationQuestion {
 public:
  VerificationQuestion(const VerifiedRequest& request, std::string_view transactional_id, int64_t producer_id,
                       int16_t producer_epoch);

  // Returns the guard that the append of the producer's next batch to the partition takes. The question may have one more
  // partition.
  storage::GuardSerial guard(BrokerShard& shard, storage::Partition& partition, int32_t base_sequence);
  // Call it after the appends. Does nothing without partitions.
  void ask(Coordinators& coordinators, BrokerShard& shard);

 private:
  const VerifiedRequest request_;
  coordination::AddPartitionsRequest asked_;
  std::vector<storage::GuardSerial> guards_;  // of the partitions in `asked_`
};

}  // namespace weir::broker
