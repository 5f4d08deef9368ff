#include "broker/handlers/group_coordinators.h"

#include <algorithm>

#include "base/log.h"
#include "base/utf16.h"
#include "broker/broker.h"
#include "broker/handlers/group_placement.h"
#include "broker/metadata/settled_transaction.h"

namespace weir::broker {

using protocol::ErrorCode;

namespace {

// Without any delay, of two members that start together the second would find the first one's rebalance over, and would
// have to wait for its next heartbeat. Kafka's timer takes about as long.
constexpr int32_t kInitialDelayLeastMs = 10;
constexpr int64_t kLeastSegmentBytes = 1 << 20;  // of any topic

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
  return group;
}

}  // namespace

namespace {

uint32_t java_hash(std::string_view text) {
  uint32_t hash = 0;
  each_utf16(text, [&](uint32_t unit) { hash = 31 * hash + unit; });
  return hash;
}

}  // namespace

int32_t group_hash(std::string_view group_id) {
  const auto number = static_cast<int32_t>(java_hash(group_id));
  if (number == INT32_MIN) return 0;
  return number < 0 ? -number : number;
}

int32_t group_hash_before(std::string_view group_id) { return static_cast<int32_t>(java_hash(group_id) & INT32_MAX); }

GroupCoordinators::GroupCoordinators(Broker& broker, runtime::Pool& pool, storage::MetaStore& store, const BrokerConfig& config,
                                     std::optional<GroupPlacementRecord> placement)
    : broker_(broker),
      pool_(pool),
      config_(group_config(config)),
      memory_(static_cast<int64_t>(broker.budget().limit(MemoryShare::kIndexes))),
      topic_partitions_(static_cast<int32_t>(config.integer("offsets.topic.num.partitions"))),
      topic_segment_bytes_(std::max(config.integer("offsets.topic.segment.bytes"), kLeastSegmentBytes)) {
  make_placement(store, placement);
  for (unsigned i = 0; i < broker_.shard_count(); ++i) {
    shards_.push_back(std::make_unique<Shard>());
    BrokerShard& shard = broker_.shard(i);
    shard.loop.post([this, &shard] { start(shard); });
  }
}

GroupCoordinators::~GroupCoordinators() { *alive_ = false; }

// A topic made from now on has its groups where they belong; the next start finds that out and notes it.
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
    broker_.run_on(
        owner, [this, owner, index, use = std::move(use)]() mutable { use(find_on(broker_.shard(owner), unplaced_, index)); });
  };
  // Without the note the next start looks again, and finds nothing.
  ways.finished = [this, &store, note = std::move(note)]() mutable {
    settle(store, broker_.shard(0).loop, alive_, std::move(note), [](Result<storage::MetaOutcome>) {});
  };
  const int32_t count = topic->partition_count();
  placement_ = std::make_unique<GroupPlacement>(
      broker_.shard(0).loop, count, [count](std::string_view id) { return group_hash(id) % count; },
      [count](std::string_view id) { return group_hash_before(id) % count; }, std::move(ways));
}

coordination::GroupPartition* GroupCoordinators::find_on(BrokerShard& shard, const Uuid& topic, int32_t index) {
  Shard& mine = *shards_[shard.index()];
  const auto partition = mine.partitions.find(index);
  return mine.stopped || mine.topic != topic || partition == mine.partitions.end() ? nullptr : partition->second.get();
}

void GroupCoordinators::create_topic(unsigned home, Function<void(ErrorCode)> done) {
  if (broker_.shard(home).image->find(kTopic) != nullptr) return done(ErrorCode::kNone);
  Controller::NewTopic topic;
  topic.name = kTopic;
  topic.partition_count = topic_partitions_;
  topic.needed = true;
  topic.configs["cleanup.policy"] = "compact";
  topic.configs["compression.type"] = "producer";
  topic.configs["segment.bytes"] = std::to_string(topic_segment_bytes_);
  std::vector<Controller::NewTopic> topics;
  topics.push_back(std::move(topic));
  broker_.create_topics(home, std::move(topics), [this, done = std::move(done)](Controller::Outcomes outcomes) mutable {
    const Controller::Outcome& outcome = outcomes.at(0);
    if (outcome.error != ErrorCode::kNone && outcome.error != ErrorCode::kTopicAlreadyExists) {
      log_warn("groups", "{} could not be created: {}. Clients that look for their group's coordinator are asked to retry.",
               kTopic, outcome.message);
      return done(ErrorCode::kCoordinatorNotAvailable);
    }
    for (unsigned i = 0; i < broker_.shard_count(); ++i) {
      BrokerShard& shard = broker_.shard(i);
      broker_.run_on(i, [this, &shard] { start(shard); });
    }
    done(ErrorCode::kNone);
  });
}

uint64_t GroupCoordinators::answer_bytes() const {
  const auto kept = static_cast<uint64_t>(std::max<int64_t>(memory_.used_bytes(), 0));
  return std::min(3 * kept, broker_.budget().limit(MemoryShare::kAnswers) / 2);
}

int32_t GroupCoordinators::partition_count(unsigned home) const {
  const Topic* topic = broker_.shard(home).image->find(kTopic);
  return topic == nullptr ? 0 : topic->partition_count();
}

// `number` modulo the partitions that the topic has, whatever the configuration says now.
void GroupCoordinators::with_partition(unsigned home, int32_t number, bool was_elsewhere, Use use) {
  const Topic* topic = broker_.shard(home).image->find(kTopic);
  if (topic == nullptr) return use(nullptr, ErrorCode::kNotCoordinator);
  const int32_t index = number % topic->partition_count();
  const unsigned owner = broker_.owner(topic->partition(index));
  if (owner == home) return use_on_owner(broker_.shard(home), index, was_elsewhere, use);
  broker_.run_on(owner, [this, owner, index, was_elsewhere, use = std::move(use)]() mutable {
    use_on_owner(broker_.shard(owner), index, was_elsewhere, use);
  });
}

void GroupCoordinators::use_on_owner(BrokerShard& shard, int32_t index, bool was_elsewhere, Use& use) {
  start(shard);
  Shard& mine = *shards_[shard.index()];
  const auto partition = mine.partitions.find(index);
  if (mine.stopped || partition == mine.partitions.end()) return use(nullptr, ErrorCode::kNotCoordinator);
  const ErrorCode serving = partition->second->serving(was_elsewhere);
  use(serving == ErrorCode::kNone ? partition->second.get() : nullptr, serving);
}

// A coordinator that loads looks at the image when it has loaded.
void GroupCoordinators::topics_deleted(BrokerShard& shard, const std::vector<TopicPtr>& topics) {
  std::vector<coordination::GroupCoordinatorState::DeletedTopic> deleted;
  for (const TopicPtr& topic : topics) deleted.push_back({topic->name(), topic->id()});
  for (auto& [index, partition] : shards_[shard.index()]->partitions) {
    if (!partition->loaded()) continue;
    partition->run([&](coordination::GroupCoordinatorState& state, coordination::Instant now, coordination::Effects&) {
      state.topics_deleted(deleted, now);
    });
  }
}

void GroupCoordinators::load_next(Shard& shard) {
  while (shard.loading < kLoadsPerShard && !shard.to_load.empty() && !shard.stopped) {
    auto& partition = *shard.partitions.at(shard.to_load.back());
    shard.to_load.pop_back();
    ++shard.loading;
    partition.load([this, &shard] {
      --shard.loading;
      load_next(shard);
    });
  }
}

void GroupCoordinators::start(BrokerShard& shard) {
  Shard& mine = *shards_[shard.index()];
  const Topic* topic = shard.image->find(kTopic);
  const Uuid id = topic == nullptr ? Uuid() : topic->id();
  if (mine.topic == id || mine.stopped) return;
  mine.topic = id;
  // Of a topic that was deleted. One of them may be the caller's caller: they go in a turn of their own.
  for (auto& [index, partition] : mine.partitions) partition->stop();
  mine.to_load.clear();
  shard.loop.post([gone = std::exchange(mine.partitions, {})] {});
  if (topic == nullptr) return;
  for (int32_t index = 0; index < topic->partition_count(); ++index) {
    const storage::PartitionId partition = topic->partition(index);
    if (broker_.owner(partition) != shard.index()) continue;
    auto& added = mine.partitions[index];
    added = std::make_unique<coordination::GroupPartition>(
        pool_, shard.loop, shard.log, partition, config_, memory_, [&shard](std::string_view name, const Uuid& topic_id) {
          return (topic_id.is_zero() ? shard.image->find(name) : shard.image->find(topic_id)) != nullptr;
        });
    if (id == unplaced_ && placement_) {
      added->hold([this, index](bool loaded) {
        broker_.run_on(0, [this, index, loaded] { loaded ? placement_->loaded(index) : placement_->failed(index); });
      });
    }
    mine.to_load.insert(mine.to_load.begin(), index);
  }
  load_next(mine);
  if (std::exchange(mine.noted_stop, true)) return;
  // Members that wait for a rebalance would hold up the end of their connections.
  shard.on_stop.push_back([&mine] {
    mine.stopped = true;
    for (auto& [index, partition] : mine.partitions) partition->stop();
  });
}

}  // namespace weir::broker
