// Guards of transactions in a shard's partitions (KIP-890). The first transactional batch of a producer makes one, if the producer
// has no open transaction in the partition. The transaction's coordinator is asked whether the partition is part of the
// transaction. Batches of the producer wait for the answer. The first batch that is appended under the guard begins the transaction
// and removes the guard. So does a marker, for then the answer may be of the transaction that has ended. A guard has a serial
// number, so that a late answer is not taken for the answer to a later guard. A marker under transaction version 2 that has the
// guard's own epoch ended the transaction before, and the guard stays.
//
// A guard knows the lowest sequence of the batches that came for it. No batch with a higher one is appended before. It stays when
// the coordinator answers "later" (NOT_ENOUGH_REPLICAS, CONCURRENT_TRANSACTIONS), as in Kafka: the client sends its batches again,
// and the first one to come has to be the lowest. Any other refusal removes the guard.
//
// Bounded: the oldest guard that nobody waits for goes, at the bound or after producer.id.expiration.ms.
//
// Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "base/function.h"
#include "storage/log/append_result.h"
#include "storage/log/transactions.h"
#include "storage/types.h"

namespace weir::storage {

class TransactionGuards {
 public:
  using Answered = Function<void(AppendResult)>;

  explicit TransactionGuards(size_t most) : most_(most) {}

  // Finds or makes the producer's guard in the partition. A higher epoch makes a new one.
  Verification guard(const PartitionId& partition, const TransactionalBatch& batch, int64_t now_ms);
  // Calls `answered` with the coordinator's answer, at once if it is known. A guard that is gone refuses nothing here: the append
  // finds out.
  void when_answered(GuardSerial serial, Answered answered);
  // The answer: an error refuses the batches that wait. A serial that is gone is ignored.
  void answered(GuardSerial serial, const AppendResult& answer);

  // Whether a batch may begin a transaction.
  bool allows(const PartitionId& partition, const BatchInfo& batch, GuardSerial serial) const;
  // Whether the batch has a sequence above the lowest one that waits, or under version 2 of a producer without batches one that is
  // not 0.
  bool out_of_order(const PartitionId& partition, const BatchInfo& batch, bool has_batches) const;
  // A transactional batch or a marker was appended.
  void appended(const PartitionId& partition, const BatchInfo& batch);

  // The partition is dropped or released: `answer` is given to batches that wait.
  void forget(const PartitionId& partition, const AppendResult& answer);
  void expire(int64_t before_ms);
  size_t size() const { return guards_.size(); }

 private:
  enum class State : uint8_t { kAsked, kVerified, kLater };
  struct Guard {
    GuardSerial serial = kNoGuard;
    State state = State::kAsked;
    int16_t epoch = -1;
    int16_t transaction_version = 0;
    int32_t lowest_sequence = 0;
    int64_t made_ms = 0;
    std::vector<Answered> waiting;
  };
  using Key = std::pair<PartitionId, int64_t>;  // producer id
  using Guards = std::map<Key, Guard>;

  const Guard* find(const PartitionId& partition, int64_t producer_id) const;
  void remove(Guards::iterator guard);

  const size_t most_;
  GuardSerial last_serial_ = kNoGuard;
  Guards guards_;
  std::map<GuardSerial, Guards::iterator> by_age_;
};

}  // namespace weir::storage
