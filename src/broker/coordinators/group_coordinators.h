// The group coordinators of this broker, over `__consumer_offsets`. The hash of a group's id gives its partition, as in Kafka.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "base/function.h"
#include "base/lifetime.h"
#include "broker/config/broker_config.h"
#include "broker/coordinators/coordinator_host.h"
#include "broker/metadata/group_placement_record.h"
#include "coordination/group/group_partition.h"
#include "storage/log/transactions.h"
#include "storage/metadata/meta_store.h"

namespace weir::broker {

class GroupPlacement;

// The group's number, as in Kafka.
inline int32_t group_hash(std::string_view group_id) { return coordinator_hash(group_id); }
// The number of earlier versions: the hash without its sign bit. It differs where the hash is negative.
int32_t group_hash_before(std::string_view group_id);

class GroupCoordinators final : public CoordinatorHost {
 public:
  static constexpr std::string_view kTopic = "__consumer_offsets";

  // Before the loops run.
  GroupCoordinators(Broker& broker, runtime::Pool& pool, storage::MetaStore& store, const BrokerConfig& config,
                    std::optional<GroupPlacementRecord> placement);
  ~GroupCoordinators() override;

  // One step of the group's coordinator: calls `step(state, reply, now, effects)`, or `reply` with an error.
  template <typename Result, typename Step>
  void call(unsigned home, std::string_view group_id, Function<void(Result)> reply, Step step) {
    const int32_t number = group_hash(group_id);
    const bool was_elsewhere = number != group_hash_before(group_id);
    ask<coordination::GroupCoordinatorState>(home, number, was_elsewhere, std::move(reply), std::move(step));
  }
  // The same for one coordinator by its index: to ask all of them.
  template <typename Result, typename Step>
  void call_partition(unsigned home, int32_t index, Function<void(Result)> reply, Step step) {
    ask<coordination::GroupCoordinatorState>(home, index, false, std::move(reply), std::move(step));
  }
  // Calls `visit(state)` for each coordinator that serves. On the shard's loop.
  template <typename Visit>
  void for_each_state(unsigned shard, Visit visit) const {
    for_each_serving(shard, [&](const coordination::CoordinatorRuntime& partition) {
      visit(static_cast<const coordination::GroupCoordinatorState&>(partition.machine()));
    });
  }
  // The marker of a transaction as a step of the coordinator that has the partition of the topic. `done` is called once it is
  // durable, or with an error: of the coordinator, or why the log would refuse the marker. On the shard's loop.
  void end_transaction(BrokerShard& shard, const storage::PartitionId& partition, const storage::MarkerAppend& marker,
                       Function<void(protocol::ErrorCode)> done);
  const coordination::GroupConfig& config() const { return config_; }
  // Whether the consumer protocol is enabled, by configuration and by feature. On the shard's loop.
  bool serve_consumer_protocol(unsigned shard) const;
  const coordination::GroupMemory& memory() const { return memory_; }
  // The most memory of an answer that names every group once.
  uint64_t answer_bytes() const { return CoordinatorHost::answer_bytes(memory_); }

 private:
  std::unique_ptr<coordination::CoordinatorRuntime> make_partition(
      BrokerShard& shard, const coordination::CoordinatorRuntime::Surroundings& surroundings, const storage::PartitionId& id,
      coordination::ImagePtr image) override;
  void make_placement(storage::MetaStore& store, const std::optional<GroupPlacementRecord>& before);

  coordination::GroupConfig config_;
  const bool consumer_protocol_;  // by configuration
  coordination::GroupMemory memory_;
  Uuid unplaced_;                              // the topic that placement_ is about
  std::unique_ptr<GroupPlacement> placement_;  // shard 0; none if all groups are known to be in the right partitions
  Lifetime lifetime_;
};

}  // namespace weir::broker
