// The group coordinators of this broker: one for each partition of `__consumer_offsets`, on the shard that owns it. A
// group belongs to the partition that the hash of its id names, as in Kafka.
//
// The topic is created when a client asks for the first coordinator. From then on, and at each start of the broker, its
// coordinators load, a few of a shard at a time. May be called on any shard; answers come on the coordinator's shard,
// refusals on the caller's or the coordinator's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/function.h"
#include "broker/config/broker_config.h"
#include "broker/metadata/group_placement_record.h"
#include "coordination/group/group_partition.h"
#include "storage/metadata/meta_store.h"

namespace weir::broker {

class Broker;
class GroupPlacement;
struct BrokerShard;
struct Topic;
using TopicPtr = std::shared_ptr<const Topic>;

// The group's number, as Kafka has it: the absolute value of Java's hash of the text.
int32_t group_hash(std::string_view group_id);
// As earlier versions had it: the hash without its sign. Another one where the hash is negative.
int32_t group_hash_before(std::string_view group_id);

class GroupCoordinators {
 public:
  static constexpr std::string_view kTopic = "__consumer_offsets";
  // One replays what it read while the other reads.
  static constexpr size_t kLoadsPerShard = 2;

  // Before the loops run.
  GroupCoordinators(Broker& broker, runtime::Pool& pool, storage::MetaStore& store, const BrokerConfig& config,
                    std::optional<GroupPlacementRecord> placement);
  ~GroupCoordinators();

  // Makes sure that coordinators exist; `done` on the caller's shard `home`.
  void create_topic(unsigned home, Function<void(protocol::ErrorCode)> done);

  // One step of the group's coordinator: `step(state, reply, now, effects)`, or `reply` with an error.
  template <typename Result, typename Step>
  void call(unsigned home, std::string_view group_id, Function<void(Result)> reply, Step step) {
    const int32_t number = group_hash(group_id);
    with_partition(home, number, number != group_hash_before(group_id), wrap(std::move(reply), std::move(step)));
  }
  // The same for one coordinator by its index: to ask all of them.
  template <typename Result, typename Step>
  void call_partition(unsigned home, int32_t index, Function<void(Result)> reply, Step step) {
    with_partition(home, index, false, wrap(std::move(reply), std::move(step)));
  }
  // On the shard's loop, when its image has them no more: their committed offsets go.
  void topics_deleted(BrokerShard& shard, const std::vector<TopicPtr>& topics);
  // `visit(state)` for each coordinator that serves; on the shard's loop.
  template <typename Visit>
  void for_each_state(unsigned shard, Visit visit) const {
    for (const auto& [index, partition] : shards_[shard]->partitions) {
      if (partition->serving() == protocol::ErrorCode::kNone) visit(partition->state());
    }
  }
  const coordination::GroupMemory& memory() const { return memory_; }
  // Whether somebody was refused for want of memory within the last minute.
  bool refused_lately(int64_t now_ms) const { return now_ms - memory_.last_refusal_ms() < 60'000; }
  // What an answer that names every group once takes at most: what is kept of them, decoded form and encoded. Not more than half
  // of the memory for answers, for others must go on.
  uint64_t answer_bytes() const;
  // As the caller's shard knows it; 0 while there is none.
  int32_t partition_count(unsigned home) const;

 private:
  using Use = Function<void(coordination::GroupPartition* partition, protocol::ErrorCode refusal)>;
  struct Shard {  // on its loop only
    Uuid topic;
    std::map<int32_t, std::unique_ptr<coordination::GroupPartition>> partitions;
    std::vector<int32_t> to_load;  // the next one last
    size_t loading = 0;
    bool noted_stop = false;
    bool stopped = false;
  };

  template <typename Result, typename Step>
  static Use wrap(Function<void(Result)> reply, Step step) {
    return [reply = std::move(reply), step = std::move(step)](coordination::GroupPartition* partition,
                                                              protocol::ErrorCode refusal) mutable {
      if (partition == nullptr) {
        Result refused;
        refused.error = refusal;
        return reply(std::move(refused));
      }
      partition->run([&](coordination::GroupCoordinatorState& state, coordination::Instant now, coordination::Effects& effects) {
        step(state, std::move(reply), now, effects);
      });
    };
  }
  // `was_elsewhere`: it is about a group that earlier versions may have had in another partition.
  void with_partition(unsigned home, int32_t number, bool was_elsewhere, Use use);
  void use_on_owner(BrokerShard& shard, int32_t index, bool was_elsewhere, Use& use);
  void start(BrokerShard& shard);  // what the shard owns of the present topic
  void load_next(Shard& shard);
  void make_placement(storage::MetaStore& store, const std::optional<GroupPlacementRecord>& before);
  coordination::GroupPartition* find_on(BrokerShard& shard, const Uuid& topic, int32_t index);

  Broker& broker_;
  runtime::Pool& pool_;
  coordination::GroupConfig config_;
  coordination::GroupMemory memory_;
  int32_t topic_partitions_;
  int64_t topic_segment_bytes_;
  std::vector<std::unique_ptr<Shard>> shards_;
  Uuid unplaced_;                              // the topic that placement_ is about
  std::unique_ptr<GroupPlacement> placement_;  // shard 0; none if all groups are known to be in the right partitions
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace weir::broker
