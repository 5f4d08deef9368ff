// The coordinators of one kind on this broker: one for each partition of an internal topic, on the shard that owns the partition.
// The same for every state machine. A derived class names the topic and has the requests (group_coordinators.h).
//
// The topic is created when a client asks for the first coordinator. From then on, and at each start of the broker, its
// coordinators load, a few of a shard at a time. They hear of every image. Calls may come on any shard. Answers come on the
// coordinator's shard, refusals on the caller's or the coordinator's.
#pragma once

#include <any>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/function.h"
#include "base/uuid.h"
#include "coordination/runtime/coordinator_partition.h"
#include "coordination/runtime/memory_bound.h"
#include "protocol/errors.h"

namespace weir::broker {

class Broker;
struct BrokerShard;
struct MetadataChange;

// Java's hash of the text.
uint32_t java_hash(std::string_view text);
// Its absolute value. Modulo the number of partitions it gives a key's partition, as in Kafka.
int32_t coordinator_hash(std::string_view key);

// How many coordinators do what, and some of those that could not be loaded.
struct CoordinatorCounts {
  struct Failed {
    std::string partition;
    std::string reason;
  };
  static constexpr size_t kNamedMax = 10;

  uint64_t loading = 0, active = 0, failed = 0;
  int64_t load_ms_max = 0, load_ms_sum = 0;  // of the active ones
  std::vector<Failed> some_failed;

  CoordinatorCounts& operator+=(const CoordinatorCounts& other);  // some_failed stays as it is
};

class CoordinatorHost {
 public:
  // One replays its records while the other reads.
  static constexpr size_t kLoadsPerShard = 2;

  struct InternalTopic {
    std::string_view name;
    std::string_view kept;  // in it, for the log: "groups"
    // For a new topic. A topic that exists stays as it is.
    int32_t partition_count = 1;
    std::map<std::string, std::string> configs;

    // Has it compacted, in segments of so many bytes, or of the fewest that a topic may have.
    void compact(std::string_view compression, int64_t segment_bytes);
  };

  virtual ~CoordinatorHost();
  CoordinatorHost(const CoordinatorHost&) = delete;
  CoordinatorHost& operator=(const CoordinatorHost&) = delete;

  Broker& broker() const { return broker_; }
  // Makes sure that coordinators exist. `done` runs on the caller's shard `home`.
  void create_topic(unsigned home, Function<void(protocol::ErrorCode)> done);
  // As the caller's shard knows it; 0 while there is none.
  int32_t partition_count(unsigned home) const;
  // Of one shard, on its loop.
  CoordinatorCounts count(unsigned shard) const;

 protected:
  using Use = Function<void(coordination::CoordinatorRuntime* partition, protocol::ErrorCode refusal)>;

  // A derived class calls begin() at the end of its constructor, before the loops run.
  CoordinatorHost(Broker& broker, runtime::Pool& pool, InternalTopic topic);
  void begin();
  // Its destructor calls end(), if the state machines use its members.
  void end();

  virtual std::unique_ptr<coordination::CoordinatorRuntime> make_partition(
      BrokerShard& shard, const coordination::CoordinatorRuntime::Surroundings& surroundings, const storage::PartitionId& id,
      coordination::ImagePtr image) = 0;
  // The most memory of an answer that names everything in `kept` once: decoded and encoded, each as large as what is kept. At
  // most half of the memory for answers, for other requests must go on.
  uint64_t answer_bytes(const coordination::MemoryBound& kept) const;
  // Delivers a coordinator's message to the partition `to`, on the shard that owns it. `done` is called there.
  virtual void deliver(BrokerShard& shard, const storage::PartitionId& to, std::any message, Function<void(std::any)> done);

  // One step of a coordinator: calls `step(state, reply, now, effects)`, or `reply` with an error. The coordinator's index is
  // `number` modulo the topic's partitions, whatever the configuration says now. Every result has an `error`.
  template <typename S, typename Result, typename Step>
  void ask(unsigned home, int32_t number, bool may_be_kept_back, Function<void(Result)> reply, Step step) {
    with_partition(
        home, number, may_be_kept_back,
        [reply = std::move(reply), step = std::move(step)](coordination::CoordinatorRuntime* partition,
                                                           protocol::ErrorCode refusal) mutable {
          if (partition == nullptr) {
            Result refused;
            refused.error = refusal;
            return reply(std::move(refused));
          }
          partition->run([&](coordination::StateMachine& machine, coordination::Instant now, coordination::Effects& effects) {
            step(static_cast<S&>(machine), std::move(reply), now, effects);
          });
        });
  }
  // Returns the partition if its coordinators are of `topic`, else nullptr. On the shard's loop.
  coordination::CoordinatorRuntime* find_on(BrokerShard& shard, const Uuid& topic, int32_t index);
  // Calls `visit(partition)` for each coordinator that serves. On the shard's loop.
  template <typename Visit>
  void for_each_serving(unsigned shard, Visit visit) const {
    for (const auto& [index, partition] : shards_[shard]->partitions) {
      if (partition->serving() == protocol::ErrorCode::kNone) visit(*partition);
    }
  }

  Broker& broker_;

 private:
  struct Shard;
  class Services;

  void with_partition(unsigned home, int32_t number, bool may_be_kept_back, Use use);
  void use_on_owner(BrokerShard& shard, int32_t index, bool may_be_kept_back, Use& use);
  void start(BrokerShard& shard);
  void load_next(Shard& shard);
  void image_changed(BrokerShard& shard, const MetadataChange& change);

  struct Shard {  // on its loop only
    std::unique_ptr<Services> services;
    Uuid topic;
    coordination::ImagePtr image;
    std::map<int32_t, std::unique_ptr<coordination::CoordinatorRuntime>> partitions;
    std::vector<int32_t> to_load;  // the next one last
    size_t loading = 0;
    bool noted_stop = false;
    bool stopped = false;
  };

  runtime::Pool& pool_;
  const InternalTopic topic_;
  std::vector<std::unique_ptr<Shard>> shards_;
};

}  // namespace weir::broker
