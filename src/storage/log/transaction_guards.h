// Guards of transactions in a shard's partitions (KIP-890). The first transactional batch of a producer and its epoch makes one, if
// they have no open transaction in the partition. The transaction's coordinator is asked whether the partition is part of the
// transaction. Batches wait for the answer. The first batch that is appended begins the transaction and removes the guard. So does
// a marker, for then the answer may be about the transaction that has ended. Each guard has a serial number of its own, so that a
// late answer is not taken for the answer to a later guard. Where each transaction has an epoch of its own, a marker with the
// guard's epoch ended the transaction before, and the guard stays.
//
// A guard knows the lowest sequence of the batches that came for it. No batch with a higher one is appended first. It stays when
// the coordinator answers "later" (NOT_ENOUGH_REPLICAS, CONCURRENT_TRANSACTIONS), as in Kafka: the client sends its batches again,
// and the first one to come has to be the lowest. Any other refusal removes the guard.
//
// Batches that wait for a guard that goes are told nothing: the log refuses them.
//
// Bounded: the oldest guard that no answer is awaited for goes, at the bound or after producer.id.expiration.ms.
//
// Loop thread only.
#pragma once

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "base/function.h"
#include "base/lifetime.h"
#include "runtime/loop.h"
#include "storage/log/append_result.h"
#include "storage/log/transactions.h"
#include "storage/types.h"

namespace weir::storage {

// As many as there may be beside so many producers. One has 200 bytes, and is there for some milliseconds unless a client gives up.
constexpr size_t guards_max(size_t producers_max) { return std::max<size_t>(producers_max / 8, 1000); }

class TransactionGuards {
 public:
  using Answered = Function<void(AppendResult)>;

  TransactionGuards(runtime::Loop& loop, size_t most) : loop_(loop), most_(most) {}
  ~TransactionGuards() { lifetime_.end(); }

  // Finds or makes the guard of the batch's producer and epoch in the partition.
  Verification guard(const PartitionId& partition, const TransactionalBatch& batch, int64_t now_ms);
  // Calls `answered` with the coordinator's answer, at once if it is known or the guard is gone.
  void when_answered(GuardSerial serial, Answered answered);
  // The answer: an error refuses the batches that wait. A serial that is gone is ignored.
  void answered(GuardSerial serial, const AppendResult& answer);

  // `serial`: that of the batch; kNoGuard if it has none.
  GuardState state(const PartitionId& partition, const BatchInfo& batch, GuardSerial serial) const;
  // A transactional batch or a marker was appended.
  void appended(const PartitionId& partition, const BatchInfo& batch);

  void forget(const PartitionId& partition);  // it is dropped, or goes to another owner
  // Those that were made before `before_ms`, at most kExpiredAtOnce.
  static constexpr size_t kExpiredAtOnce = 4096;
  void expire(int64_t before_ms);
  size_t size() const { return guards_.size(); }

 private:
  struct Key {
    PartitionId partition;
    int64_t producer_id;
    int16_t epoch;
    auto operator<=>(const Key&) const = default;
  };
  enum class Answer : uint8_t { kAwaited, kYes, kLater };
  struct Guard {
    GuardSerial serial = kNoGuard;
    Answer answer = Answer::kAwaited;
    bool epoch_per_transaction = false;
    int32_t lowest_sequence = 0;
    int64_t made_ms = 0;
    std::vector<Answered> waiting = {};
  };
  using Guards = std::map<Key, Guard>;

  Guards::iterator remove(Guards::iterator guard);
  void bound();

  runtime::Loop& loop_;
  const size_t most_;
  GuardSerial last_serial_ = kNoGuard;
  Guards guards_;
  std::map<GuardSerial, Guards::iterator> by_age_;
  Lifetime lifetime_;
};

}  // namespace weir::storage
