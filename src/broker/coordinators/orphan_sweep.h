// Looks for open transactions in partitions that no transaction coordinator knows, and aborts them
// (weir.transaction.abort.orphans). Without that they would hold up readers of committed records for ever. They come from a log
// that was copied without its `__transaction_state`, and from clients that write without a coordinator.
//
// One look follows the start, as soon as all coordinators have loaded, then one every kInterval. It lists the open transactions
// of all shards, and then asks every coordinator for those that it claims. In this order: a transaction is known to its
// coordinator before its first record is in a partition, and until its marker is. What has ended since it was listed is not
// aborted, for the marker is only for a transaction that began where the listed one did.
//
// Lives on shard 0: loop thread only. Lists and claims go in slices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/lifetime.h"
#include "protocol/errors.h"
#include "runtime/loop.h"
#include "storage/log/transactions.h"
#include "storage/types.h"

namespace weir::broker {

class Broker;
class TransactionCoordinators;

class OrphanSweep {
 public:
  static constexpr int64_t kIntervalNs = 300 * runtime::kSecond;
  // After the start, and doubled each time a coordinator does not serve.
  static constexpr int64_t kFirstDelayNs = runtime::kSecond;
  // A transaction is late when its last record is older than transaction.max.timeout.ms and this, as in Kafka.
  static constexpr int64_t kLateMs = 300'000;
  static constexpr size_t kClaimsPerSlice = 1000;

  // Before the loops run.
  OrphanSweep(Broker& broker, TransactionCoordinators& coordinators, int64_t transaction_max_timeout_ms);
  ~OrphanSweep() { lifetime_.end(); }
  OrphanSweep(const OrphanSweep&) = delete;

  // Of the last look.
  uint64_t orphans() const { return orphans_; }
  uint64_t late_partitions() const { return late_partitions_; }
  uint64_t aborted() const { return aborted_; }  // in all

 private:
  using Open = storage::OpenTransactions;
  struct Claims {
    protocol::ErrorCode error{};
    std::vector<std::pair<int64_t, storage::PartitionId>> of;  // producer ids
  };

  void schedule(int64_t delay_ns);
  void begin();
  void list(unsigned shard, const Open::Position& from);
  void listed(unsigned shard, const Open& open);
  void ask(int32_t coordinator);
  void claimed(int32_t coordinator, std::shared_ptr<const Claims> claims, size_t done);
  void found();
  void tell(bool abort) const;
  void abort_next();
  void end(int64_t next_delay_ns);

  Broker& broker_;
  TransactionCoordinators& coordinators_;
  const int64_t late_after_ms_;
  int64_t retry_delay_ns_ = kFirstDelayNs;
  uint64_t orphans_ = 0;
  uint64_t late_partitions_ = 0;
  uint64_t aborted_ = 0;

  // Of the look under way.
  std::map<std::pair<int64_t, storage::PartitionId>, storage::OpenTransaction> unclaimed_;  // by producer id
  std::optional<storage::PartitionId> last_listed_;
  uint64_t late_ = 0;
  Lifetime lifetime_;
};

}  // namespace weir::broker
