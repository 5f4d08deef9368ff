// One broker process: its shards, the metadata they serve from, and the one controller.
//
// A shard is a loop, its partitions (LogShard) and the shared parts of its connections. A BrokerShard is touched on its loop
// only. Broker::run_on crosses to it. A message replaces the metadata image of a shard, so readers on the shard never lock. Two
// reads in one task see the same image only if they keep the pointer.
//
// Lifecycle: construct after the log was opened and before the loops run; coordinators over it (follow_images);
// register_handlers (handlers/registration.h); run; stop() ends long polls; destroyed when the loops do not run any more, after
// the coordinators.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/rate_limit.h"
#include "broker/config/broker_config.h"
#include "broker/fetch/fetch_session.h"
#include "broker/metadata/controller.h"
#include "broker/metadata/metadata_follower.h"
#include "broker/metadata/metadata_image.h"
#include "broker/metadata/metadata_loader.h"
#include "broker/metadata/offline_partitions.h"
#include "broker/metadata/producer_id_allocator.h"
#include "broker/server/memory_budget.h"
#include "broker/server/request_context.h"
#include "broker/server/topic_traffic.h"
#include "runtime/runtime.h"
#include "storage/log/log_shard.h"
#include "storage/metadata/meta_store.h"

namespace weir::broker {

class ClientTelemetry;  // telemetry/client_telemetry.h

// The settings that handlers act on, under Kafka's names.
struct BrokerSettings {
  bool auto_create_topics_enable = true;
  bool delete_topic_enable = true;
  int32_t num_partitions = 1;
  int16_t default_replication_factor = 1;
  int32_t fetch_max_bytes = 55 << 20;
  int32_t max_incremental_fetch_session_cache_slots = 1000;
  int32_t max_request_partition_size_limit = 2000;
  int32_t add_partitions_to_txn_retry_backoff_max_ms = 100;

  static BrokerSettings from(const BrokerConfig& config);
};

// The parts of one shard beside its log.
struct BrokerShard {
  BrokerShard(runtime::Loop& shard_loop, storage::LogShard& shard_log, FetchSessionCache cache)
      : loop(shard_loop), log(shard_log), fetch_sessions(std::move(cache)) {}

  runtime::Loop& loop;
  storage::LogShard& log;
  MetadataImagePtr image;
  FetchSessionCache fetch_sessions;
  TopicTraffic traffic;
  size_t waiting_fetches = 0;
  ProducerIdBlock producer_ids;
  std::vector<Function<void(Result<int64_t>)>> producer_id_waiters;  // while the next block is on its way
  bool producer_ids_asked = false;                                   // it is, even if nobody waits any more
  runtime::TimerId producer_id_timer;                                // for the first of them
  // Requests that wait (long polls): called once each when the broker stops.
  std::list<Function<void()>> on_stop;
  RateLimit change_lines{100};  // of tell_change

  unsigned index() const { return loop.index(); }
};

// A caller of the controller: the shard to answer on, and its name in the log.
struct Caller {
  Caller(unsigned shard) : home(shard) {}  // the broker itself; implicit, for it has nothing else to say
  explicit Caller(RequestContext& context) : home(context.loop().index()), who(context.client_text()) {}
  unsigned home;
  std::string who = "the broker";
};

// Tells the log a client's change that did not go through the controller. A bounded number of lines. On the shard of `context`.
void tell_change(BrokerShard& shard, RequestContext& context, std::string_view what);

class Broker final : public MetadataPublisher {
 public:
  // `logs`: one per loop, with the recovered partitions. Adds those that have no data yet. Everything given outlives
  // the broker.
  Broker(runtime::Runtime& runtime, std::vector<storage::LogShard*> logs, storage::MetaStore& store, MemoryBudget& budget,
         const BrokerConfig& config, LoadedMetadata metadata);
  ~Broker() override;
  Broker(const Broker&) = delete;

  const BrokerSettings& settings() const { return settings_; }
  const std::string& cluster_id() const { return cluster_id_; }
  // As the broker was started. MetadataImage::config() has the alterations since.
  const BrokerConfig& config() const { return config_; }
  MemoryBudget& budget() { return budget_; }
  const runtime::Runtime& runtime() const { return runtime_; }
  const OfflinePartitions& offline() const { return offline_; }
  storage::LogDirectories& log_directories() { return shards_.front()->log.directories(); }
  ClientTelemetry& telemetry(unsigned shard) { return *telemetry_[shard]; }

  unsigned shard_count() const { return static_cast<unsigned>(shards_.size()); }
  BrokerShard& shard(unsigned index) { return *shards_[index]; }
  unsigned owner(const storage::PartitionId& partition) const;

  // Runs `task` on a shard's loop: inline if called there, otherwise as a message.
  void run_on(unsigned shard, runtime::Task task);

  // The controller, from any shard: `done` runs on the caller's.
  void create_topics(Caller caller, std::vector<Controller::NewTopic> topics, Controller::Done done, bool validate_only = false);
  void delete_topics(Caller caller, std::vector<TopicId> topics, Controller::Done done);
  void create_partitions(Caller caller, std::vector<Controller::NewPartitions> topics, Controller::Done done,
                         bool validate_only = false);
  void change_configs(Caller caller, std::vector<Controller::ConfigChange> changes, Controller::Done done);
  void change_features(Caller caller, Function<Controller::Outcome(FeaturesRecord&)> edit, Controller::Done done);

  // `apply` gets the configuration in force now, and again on shard 0 after each dynamic change. Before the loops run.
  void follow_config(std::function<void(const BrokerConfig&)> apply);
  // `told` gets the image now, and on shard 0 each one with other topics. Before the loops run.
  void follow_topics(std::function<void(const MetadataImagePtr&)> told);
  // `told` gets each image on every shard, after the shard's log has the changes. Before the loops run.
  using ImageFollower = std::function<void(BrokerShard&, const MetadataChange&)>;
  void follow_images(ImageFollower told) { image_followers_.push_back(std::move(told)); }

  // A new producer id. Inline while the shard's block lasts.
  void next_producer_id(unsigned home, Function<void(Result<int64_t>)> done);

  // MetadataPublisher
  void publish(std::shared_ptr<const MetadataChange> change, Function<void()> done) override;

  // Ends long polls on all shards, so that their connections can close. Any thread; `done` runs on shard 0.
  void stop(Function<void()> done);

 private:
  void apply(BrokerShard& shard, const MetadataChange& change);
  void add_partitions(BrokerShard& shard, const MetadataImage& image, const Topic& topic, int32_t first);
  void producer_ids_arrived(BrokerShard& shard, Result<ProducerIdBlock> block);
  Controller::Done reply_to(unsigned home, Controller::Done done);
  // Runs `task` on every shard, then `done` on shard 0.
  void run_on_all(std::function<void(BrokerShard&)> task, Function<void()> done);

  const BrokerSettings settings_;
  const std::string cluster_id_;
  const BrokerConfig& config_;
  MemoryBudget& budget_;
  std::vector<std::function<void(const BrokerConfig&)>> config_followers_;     // shard 0
  std::vector<std::function<void(const MetadataImagePtr&)>> topic_followers_;  // shard 0
  std::vector<ImageFollower> image_followers_;                                 // every shard; constant while the loops run
  const runtime::Runtime runtime_;
  OfflinePartitions offline_;
  std::vector<std::unique_ptr<BrokerShard>> shards_;
  std::vector<std::unique_ptr<ClientTelemetry>> telemetry_;  // one per shard
  MetadataFollower follower_;                                // shard 0
  Controller controller_;                                    // shard 0
  ProducerIdAllocator producer_ids_;                         // shard 0
};

}  // namespace weir::broker
