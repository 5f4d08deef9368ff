#include "broker/coordinators/group_coordinators.h"

#include <algorithm>

#include "base/ascii_case.h"
#include "broker/broker.h"
#include "broker/coordinators/group_placement.h"
#include "broker/metadata/features.h"
#include "broker/metadata/settled_transaction.h"

namespace weir::broker {

using protocol::ErrorCode;

namespace {

// Of two members that start together, without a delay the second would find the first one's rebalance over. It would have to wait
// for the first one's next heartbeat. Kafka's timer takes about as long.
constexpr int32_t kInitialDelayLeastMs = 10;

coordination::GroupConfig::Consumer consumer_group_config(const BrokerConfig& config) {
  using Migration = coordination::GroupConfig::Consumer::Migration;
  const auto int32 = [&](const char* key) { return static_cast<int32_t>(config.integer(key)); };
  coordination::GroupConfig::Consumer consumer;
  consumer.session_timeout_ms = {int32("group.consumer.session.timeout.ms"), int32("group.consumer.min.session.timeout.ms"),
                                 int32("group.consumer.max.session.timeout.ms")};
  consumer.heartbeat_interval_ms = {int32("group.consumer.heartbeat.interval.ms"),
                                    int32("group.consumer.min.heartbeat.interval.ms"),
                                    int32("group.consumer.max.heartbeat.interval.ms")};
  consumer.assignment_interval_ms = {int32("group.consumer.assignment.interval.ms"),
                                     int32("group.consumer.min.assignment.interval.ms"),
                                     int32("group.consumer.max.assignment.interval.ms")};
  consumer.max_size = int32("group.consumer.max.size");
  consumer.assignors = config_list_elements(config.text("group.consumer.assignors"));
  consumer.regex_refresh_interval_ms = int32("group.consumer.regex.refresh.interval.ms");
  const std::string policy = lower_case(config.text("group.consumer.migration.policy"));
  if (policy == "disabled") consumer.migration = Migration::kDisabled;
  else if (policy == "downgrade") consumer.migration = Migration::kDowngrade;
  else if (policy == "upgrade") consumer.migration = Migration::kUpgrade;
  else consumer.migration = Migration::kBidirectional;
  return consumer;
}

coordination::GroupConfig group_config(const BrokerConfig& config) {
  const auto int32 = [&](const char* key) { return static_cast<int32_t>(config.integer(key)); };
  coordination::GroupConfig group;
  group.min_session_timeout_ms = int32("group.min.session.timeout.ms");
  group.max_session_timeout_ms = int32("group.max.session.timeout.ms");
  group.max_size = int32("group.max.size");
  group.initial_rebalance_delay_ms = std::max(int32("group.initial.rebalance.delay.ms"), kInitialDelayLeastMs);
  group.offset_metadata_max_bytes = int32("offset.metadata.max.bytes");
  group.offsets_retention_ms = config.integer("offsets.retention.minutes") * 60'000;
  group.offsets_retention_check_interval_ms = config.integer("offsets.retention.check.interval.ms");
  group.consumer = consumer_group_config(config);
  return group;
}

bool has_consumer_protocol(const BrokerConfig& config) {
  const std::vector<std::string> served = config_list_elements(config.text("group.coordinator.rebalance.protocols"));
  return std::find(served.begin(), served.end(), "consumer") != served.end();
}

CoordinatorHost::InternalTopic offsets_topic(const BrokerConfig& config) {
  CoordinatorHost::InternalTopic topic;
  topic.name = GroupCoordinators::kTopic;
  topic.kept = "groups";
  topic.partition_count = static_cast<int32_t>(config.integer("offsets.topic.num.partitions"));
  topic.compact("producer", config.integer("offsets.topic.segment.bytes"));
  return topic;
}

}  // namespace

int32_t group_hash_before(std::string_view group_id) { return static_cast<int32_t>(java_hash(group_id) & INT32_MAX); }

GroupCoordinators::GroupCoordinators(Broker& broker, runtime::Pool& pool, storage::MetaStore& store, const BrokerConfig& config,
                                     std::optional<GroupPlacementRecord> placement)
    : CoordinatorHost(broker, pool, offsets_topic(config)),
      config_(group_config(config)),
      consumer_protocol_(has_consumer_protocol(config)),
      memory_(static_cast<int64_t>(broker.budget().limit(MemoryShare::kIndexes))) {
  make_placement(store, placement);
  begin();
}

GroupCoordinators::~GroupCoordinators() {
  lifetime_.end();
  end();
}

bool GroupCoordinators::serve_consumer_protocol(unsigned shard) const {
  return consumer_protocol_ && finalized_level(*broker_.shard(shard).image->features(), kGroupVersion) > 0;
}

// A topic that is made from now on has its groups in the right partitions. The next start finds that out and notes it.
void GroupCoordinators::make_placement(storage::MetaStore& store, const std::optional<GroupPlacementRecord>& before) {
  const Topic* topic = broker_.shard(0).image->find(kTopic);
  if (topic == nullptr || (before && before->topic == topic->id())) return;
  unplaced_ = topic->id();
  storage::MetaTransaction note;
  storage::MetaCompare compare{std::string(GroupPlacementRecord::kKey), std::nullopt, std::nullopt};
  if (before) compare.value = before->encode();
  else compare.mod_revision = 0;
  note.compares.push_back(std::move(compare));
  note.operations.push_back(
      {storage::MetaOperation::Kind::kPut, std::string(GroupPlacementRecord::kKey), GroupPlacementRecord{unplaced_}.encode()});
  GroupPlacement::Ways ways;
  ways.home = [this](runtime::Task task) { broker_.run_on(0, std::move(task)); };
  ways.with_partition = [this](int32_t index, Function<void(coordination::GroupPartition*)> use) {
    const unsigned owner = broker_.owner({unplaced_, index});
    broker_.run_on(owner, [this, owner, index, use = std::move(use)]() mutable {
      use(static_cast<coordination::GroupPartition*>(find_on(broker_.shard(owner), unplaced_, index)));
    });
  };
  // Without the note the next start looks again, and finds nothing.
  ways.finished = [this, &store, note = std::move(note)]() mutable {
    settle(store, broker_.shard(0).loop, lifetime_.observe(), std::move(note), [](Result<storage::MetaOutcome>) {});
  };
  const int32_t count = topic->partition_count();
  placement_ = std::make_unique<GroupPlacement>(
      broker_.shard(0).loop, count, [count](std::string_view id) { return group_hash(id) % count; },
      [count](std::string_view id) { return group_hash_before(id) % count; }, std::move(ways));
}

// Nothing can come between the check and the step: the log takes the marker within the step.
void GroupCoordinators::end_transaction(BrokerShard& shard, const storage::PartitionId& partition,
                                        const storage::MarkerAppend& marker, Function<void(ErrorCode)> done) {
  auto* coordinator = static_cast<coordination::GroupPartition*>(find_on(shard, partition.topic, partition.index));
  const storage::Partition* log = shard.log.find(partition);
  if (coordinator == nullptr || log == nullptr) return done(ErrorCode::kNotCoordinator);
  ErrorCode refused = coordinator->serving();
  if (refused == ErrorCode::kNone) refused = shard.log.check_marker(*log, marker);
  if (refused != ErrorCode::kNone) return done(refused);
  coordinator->run([&](coordination::GroupCoordinatorState& state, coordination::Instant now, coordination::Effects& effects) {
    effects.options.transaction_version = marker.transaction_version;
    state.end_transaction(
        {marker.producer_id, marker.producer_epoch, marker.coordinator_epoch, marker.commit},
        [done = std::move(done)](coordination::MarkerResult result) mutable { done(result.error); }, now, effects);
  });
}

std::unique_ptr<coordination::CoordinatorRuntime> GroupCoordinators::make_partition(
    BrokerShard& shard, const coordination::CoordinatorRuntime::Surroundings& surroundings, const storage::PartitionId& id,
    coordination::ImagePtr image) {
  auto partition = std::make_unique<coordination::GroupPartition>(
      surroundings, id, coordination::CoordinatorRuntime::Names{kTopic, "groups"},
      [this, &shard] { return std::make_unique<coordination::GroupCoordinatorState>(config_, shard.loop.random(), memory_); },
      std::move(image));
  if (id.topic == unplaced_ && placement_) {
    partition->hold([this, index = id.index](bool loaded) {
      broker_.run_on(0, [this, index, loaded] { loaded ? placement_->loaded(index) : placement_->failed(index); });
    });
  }
  return partition;
}

}  // namespace weir::broker
