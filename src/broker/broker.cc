#include "broker/broker.h"

#include <fmt/format.h>

#include <atomic>
#include <utility>

#include "base/check.h"
#include "base/counted.h"
#include "base/log.h"
#include "broker/telemetry/client_telemetry.h"
#include "runtime/homebound.h"
#include "storage/log/log_recovery.h"

namespace weir::broker {
namespace {

// Less than the 30 s that Kafka's clients wait for an answer.
constexpr int64_t kProducerIdTimeoutNs = 20 * runtime::kSecond;

}  // namespace

BrokerSettings BrokerSettings::from(const BrokerConfig& config) {
  BrokerSettings settings;
  const auto int32 = [&](const char* key) { return static_cast<int32_t>(config.integer(key)); };
  settings.auto_create_topics_enable = config.boolean("auto.create.topics.enable");
  settings.delete_topic_enable = config.boolean("delete.topic.enable");
  settings.num_partitions = int32("num.partitions");
  settings.default_replication_factor = static_cast<int16_t>(config.integer("default.replication.factor"));
  settings.fetch_max_bytes = int32("fetch.max.bytes");
  settings.max_incremental_fetch_session_cache_slots = int32("max.incremental.fetch.session.cache.slots");
  settings.max_request_partition_size_limit = int32("max.request.partition.size.limit");
  settings.add_partitions_to_txn_retry_backoff_max_ms = int32("add.partitions.to.txn.retry.backoff.max.ms");
  return settings;
}

Broker::Broker(runtime::Runtime& runtime, std::vector<storage::LogShard*> logs, storage::MetaStore& store, MemoryBudget& budget,
               const BrokerConfig& config, LoadedMetadata metadata)
    : settings_(BrokerSettings::from(config)),
      cluster_id_(std::move(metadata.cluster_id)),
      config_(config),
      budget_(budget),
      runtime_(runtime),
      follower_(store, *runtime.loops[0], *this, metadata.image, metadata.revision()),
      controller_(store, *runtime.loops[0], follower_, budget.limit(MemoryShare::kRequests)),
      producer_ids_(store, *runtime.loops[0]) {
  WEIR_CHECK(logs.size() == runtime.loops.size());
  const auto count = static_cast<unsigned>(logs.size());
  const size_t slots = static_cast<size_t>(std::max(0, settings_.max_incremental_fetch_session_cache_slots)) / count;
  const uint64_t session_bytes = budget.limit(MemoryShare::kIndexes) / 4 / count;
  for (unsigned i = 0; i < count; ++i) {
    shards_.push_back(
        std::make_unique<BrokerShard>(*runtime.loops[i], *logs[i], FetchSessionCache(i, count, slots, session_bytes)));
    shards_.back()->image = metadata.image;
    logs[i]->for_each([this](const storage::Partition& partition) {
      if (partition.offline()) offline_.add(partition.id());
    });
    logs[i]->watch_offline([this](const storage::PartitionId& partition) { offline_.add(partition); });
    telemetry_.push_back(std::make_unique<ClientTelemetry>(runtime.loops[i]->clock(), runtime.loops[i]->random()));
  }
  metadata.image->for_each([&](const TopicPtr& topic) {
    for (auto& shard : shards_) add_partitions(*shard, *metadata.image, *topic, 0);
  });
}

Broker::~Broker() {
  for (auto& shard : shards_) shard->log.watch_offline({});
}

unsigned Broker::owner(const storage::PartitionId& partition) const { return storage::shard_of(partition, shard_count()); }

void Broker::run_on(unsigned shard, runtime::Task task) {
  runtime::Loop& loop = shards_[shard]->loop;
  if (loop.in_loop()) task();
  else loop.post(std::move(task));
}

void Broker::add_partitions(BrokerShard& shard, const MetadataImage& image, const Topic& topic, int32_t first) {
  for (int32_t i = first; i < topic.partition_count(); ++i) {
    const storage::PartitionId id = topic.partition(i);
    if (owner(id) != shard.index() || shard.log.find(id) != nullptr) continue;
    const PartitionOwner leader = image.owner(topic, i);
    if (!leader.local()) continue;
    shard.log.directories().create(topic.name(), id);
    shard.log.add(std::make_unique<storage::Partition>(id, topic.log_config, leader.leader_epoch));
  }
}

// --- metadata -------------------------------------------------------------------------------------------------------

void Broker::apply(BrokerShard& shard, const MetadataChange& change) {
  shard.image = change.image;
  for (const TopicPtr& topic : change.removed) {
    for (int32_t i = 0; i < topic->partition_count(); ++i) {
      if (owner(topic->partition(i)) == shard.index()) shard.log.drop(topic->partition(i));
    }
  }
  for (const MetadataChange::Added& added : change.added) {
    add_partitions(shard, *change.image, *added.topic, added.first);
  }
  for (const TopicPtr& topic : change.reconfigured) {
    for (int32_t i = 0; i < topic->partition_count(); ++i) {
      if (owner(topic->partition(i)) == shard.index()) shard.log.set_config(topic->partition(i), topic->log_config);
    }
  }
  if (change.broker_config_changed) {
    shard.log.set_producer_id_expiration_ms(change.image->config()->integer("producer.id.expiration.ms"));
  }
  for (const ImageFollower& told : image_followers_) told(shard, change);
}

void Broker::run_on_all(std::function<void(BrokerShard&)> task, Function<void()> done) {
  struct Round final : runtime::Homebound {
    Round(runtime::Loop& home, std::function<void(BrokerShard&)> on_each, Function<void()> end, size_t shards)
        : Homebound(home), task(std::move(on_each)), done(std::move(end)), left(shards) {}
    std::function<void(BrokerShard&)> task;
    Function<void()> done;
    size_t left;  // shard 0 only
  };
  auto round = runtime::make_homebound<Round>(shards_[0]->loop, std::move(task), std::move(done), shards_.size());
  for (auto& shard : shards_) {
    run_on(shard->index(), [this, round, shard = shard.get()] {
      round->task(*shard);
      run_on(0, [round] {
        if (--round->left == 0) round->done();
      });
    });
  }
}

void tell_change(BrokerShard& shard, RequestContext& context, std::string_view what) {
  uint64_t suppressed = 0;
  if (!shard.change_lines.admit(shard.loop.clock().monotonic_ns() / runtime::kMillisecond, suppressed)) return;
  log_info("metadata", "{} by {}{}", what, context.client_text(),
           suppressed ? fmt::format(" ({} unreported)", counted(suppressed, "more change")) : std::string());
}

void Broker::publish(std::shared_ptr<const MetadataChange> change, Function<void()> done) {
  if (change->broker_config_changed) {
    for (const auto& follower : config_followers_) follower(*change->image->config());
  }
  if (!change->added.empty() || !change->removed.empty()) {
    for (const auto& follower : topic_followers_) follower(change->image);
  }
  run_on_all([this, change = std::move(change)](BrokerShard& shard) { apply(shard, *change); }, std::move(done));
}

Controller::Done Broker::reply_to(unsigned home, Controller::Done done) {
  const int64_t timeout_ms = done.timeout_ms();
  return {[this, home, done = std::move(done)](Controller::Outcomes outcomes) mutable {
            run_on(home, [done = std::move(done), outcomes = std::move(outcomes)]() mutable { done(std::move(outcomes)); });
          },
          timeout_ms};
}

void Broker::create_topics(Caller caller, std::vector<Controller::NewTopic> topics, Controller::Done done, bool validate_only) {
  auto reply = reply_to(caller.home, std::move(done));
  run_on(0, [this, who = std::move(caller.who), topics = std::move(topics), reply = std::move(reply), validate_only]() mutable {
    controller_.create_topics(std::move(who), std::move(topics), std::move(reply), validate_only);
  });
}

void Broker::delete_topics(Caller caller, std::vector<TopicId> topics, Controller::Done done) {
  auto reply = reply_to(caller.home, std::move(done));
  run_on(0, [this, who = std::move(caller.who), topics = std::move(topics), reply = std::move(reply)]() mutable {
    controller_.delete_topics(std::move(who), std::move(topics), std::move(reply));
  });
}

void Broker::create_partitions(Caller caller, std::vector<Controller::NewPartitions> topics, Controller::Done done,
                               bool validate_only) {
  auto reply = reply_to(caller.home, std::move(done));
  run_on(0, [this, who = std::move(caller.who), topics = std::move(topics), reply = std::move(reply), validate_only]() mutable {
    controller_.create_partitions(std::move(who), std::move(topics), std::move(reply), validate_only);
  });
}

void Broker::change_configs(Caller caller, std::vector<Controller::ConfigChange> changes, Controller::Done done) {
  auto reply = reply_to(caller.home, std::move(done));
  run_on(0, [this, who = std::move(caller.who), changes = std::move(changes), reply = std::move(reply)]() mutable {
    controller_.change_configs(std::move(who), std::move(changes), std::move(reply));
  });
}

void Broker::change_features(Caller caller, Function<Controller::Outcome(FeaturesRecord&)> edit, Controller::Done done) {
  auto reply = reply_to(caller.home, std::move(done));
  run_on(0, [this, who = std::move(caller.who), edit = std::move(edit), reply = std::move(reply)]() mutable {
    controller_.change_features(std::move(who), std::move(edit), std::move(reply));
  });
}

void Broker::follow_config(std::function<void(const BrokerConfig&)> apply) {
  apply(*shards_[0]->image->config());
  config_followers_.push_back(std::move(apply));
}

void Broker::follow_topics(std::function<void(const MetadataImagePtr&)> told) {
  told(shards_[0]->image);
  topic_followers_.push_back(std::move(told));
}

// --- producer ids ---------------------------------------------------------------------------------------------------

void Broker::next_producer_id(unsigned home, Function<void(Result<int64_t>)> done) {
  BrokerShard& shard = *shards_[home];
  if (shard.producer_id_waiters.empty() && shard.producer_ids.next < shard.producer_ids.end) {
    return done(shard.producer_ids.next++);
  }
  shard.producer_id_waiters.push_back(std::move(done));
  if (shard.producer_id_waiters.size() == 1) {
    shard.producer_id_timer = shard.loop.schedule_after(kProducerIdTimeoutNs, [&shard] {
      for (auto& waiter : std::exchange(shard.producer_id_waiters, {})) {
        waiter(fail(weir::ErrorCode::kIo, "the metadata could not be written in time"));
      }
    });
  }
  if (std::exchange(shard.producer_ids_asked, true)) return;
  run_on(0, [this, &shard] {
    producer_ids_.allocate([this, &shard](Result<ProducerIdBlock> block) {
      run_on(shard.index(),
             [this, &shard, block = std::move(block)]() mutable { producer_ids_arrived(shard, std::move(block)); });
    });
  });
}

void Broker::producer_ids_arrived(BrokerShard& shard, Result<ProducerIdBlock> block) {
  auto waiters = std::exchange(shard.producer_id_waiters, {});
  shard.producer_ids_asked = false;
  shard.loop.cancel(shard.producer_id_timer);
  if (block) shard.producer_ids = *block;
  for (auto& waiter : waiters) {
    if (!block) waiter(std::unexpected(block.error()));
    else next_producer_id(shard.index(), std::move(waiter));
  }
}

void Broker::stop(Function<void()> done) {
  run_on_all(
      [](BrokerShard& shard) {
        // Each may end others or add to the list.
        while (!shard.on_stop.empty()) {
          Function<void()> end = std::move(shard.on_stop.front());
          shard.on_stop.pop_front();
          end();
        }
      },
      std::move(done));
}

}  // namespace weir::broker
