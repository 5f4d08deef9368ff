// The transaction coordinators of this broker, over `__transaction_state`. The hash of a transactional id gives its partition, as
// in Kafka. Their markers go to the MarkerWriter of the shard that owns the partition.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/function.h"
#include "broker/config/broker_config.h"
#include "broker/coordinators/coordinator_host.h"
#include "broker/coordinators/group_coordinators.h"
#include "broker/coordinators/orphan_sweep.h"
#include "broker/server/metrics.h"
#include "broker/transactions/marker_writer.h"
#include "coordination/transaction/transaction_partition.h"

namespace weir::broker {

class TransactionCoordinators final : public CoordinatorHost {
 public:
  static constexpr std::string_view kTopic = "__transaction_state";

  // Before the loops run. `groups` outlives it.
  TransactionCoordinators(Broker& broker, GroupCoordinators& groups, runtime::Pool& pool, const BrokerConfig& config);
  ~TransactionCoordinators() override;

  // One step of the transaction's coordinator: calls `step(state, reply, now, effects)`, or `reply` with an error
  // (COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR). The shard `home` is the caller's; the answer comes on the coordinator's.
  template <typename Result, typename Step>
  void call(unsigned home, std::string_view transactional_id, Function<void(Result)> reply, Step step) {
    ask<coordination::TransactionCoordinatorState>(home, coordinator_hash(transactional_id), false, std::move(reply),
                                                   std::move(step));
  }
  // The same for one coordinator by its index, or by the hash of an id.
  template <typename Result, typename Step>
  void call_partition(unsigned home, int32_t number, Function<void(Result)> reply, Step step) {
    ask<coordination::TransactionCoordinatorState>(home, number, false, std::move(reply), std::move(step));
  }
  // Calls `visit(state)` for each coordinator that serves. On the shard's loop.
  template <typename Visit>
  void for_each_state(unsigned shard, Visit visit) const {
    for_each_serving(shard, [&](const coordination::CoordinatorRuntime& partition) {
      visit(static_cast<const coordination::TransactionCoordinatorState&>(partition.machine()));
    });
  }
  // Questions about the partitions of writes (verification.h).
  struct Verifications {
    explicit Verifications(unsigned shards) : times(shards), refused(shards) {}
    Histogram times;
    Counter refused;  // partitions
  };
  Verifications& verifications() { return verifications_; }
  const Verifications& verifications() const { return verifications_; }
  // Writes markers into the partitions of a shard. On the shard's loop.
  MarkerWriter& markers(unsigned shard) const { return *markers_[shard]; }
  const OrphanSweep& orphans() const { return *orphans_; }  // on shard 0
  const coordination::TransactionMemory& memory() const { return memory_; }
  // The most memory of an answer that names every transaction once.
  uint64_t answer_bytes() const { return CoordinatorHost::answer_bytes(memory_); }

 private:
  std::unique_ptr<coordination::CoordinatorRuntime> make_partition(
      BrokerShard& shard, const coordination::CoordinatorRuntime::Surroundings& surroundings, const storage::PartitionId& id,
      coordination::ImagePtr image) override;
  void deliver(BrokerShard& shard, const storage::PartitionId& to, std::any message, Function<void(std::any)> done) override;

  const coordination::TransactionConfig config_;
  coordination::TransactionMemory memory_;
  coordination::TransactionLevel level_;
  Verifications verifications_;
  std::vector<std::unique_ptr<MarkerWriter>> markers_;  // one per shard
  std::unique_ptr<OrphanSweep> orphans_;                // shard 0
};

}  // namespace weir::broker
