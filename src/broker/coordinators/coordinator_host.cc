#include "broker/coordinators/coordinator_host.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/log.h"
#include "base/utf16.h"
#include "broker/broker.h"
#include "broker/coordinators/coordinator_image.h"

namespace weir::broker {

using protocol::ErrorCode;

uint32_t java_hash(std::string_view text) {
  uint32_t hash = 0;
  each_utf16(text, [&](uint32_t unit) { hash = 31 * hash + unit; });
  return hash;
}

int32_t coordinator_hash(std::string_view key) {
  const auto number = static_cast<int32_t>(java_hash(key));
  if (number == INT32_MIN) return 0;
  return number < 0 ? -number : number;
}

void CoordinatorHost::InternalTopic::compact(std::string_view compression, int64_t segment_bytes) {
  constexpr int64_t kLeastSegmentBytes = 1 << 20;  // of any topic
  configs["cleanup.policy"] = "compact";
  configs["compression.type"] = compression;
  configs["segment.bytes"] = std::to_string(std::max(segment_bytes, kLeastSegmentBytes));
}

CoordinatorCounts& CoordinatorCounts::operator+=(const CoordinatorCounts& other) {
  loading += other.loading;
  active += other.active;
  failed += other.failed;
  load_ms_max = std::max(load_ms_max, other.load_ms_max);
  load_ms_sum += other.load_ms_sum;
  return *this;
}

// The broker as coordinators of one shard see it. Messages to another shard, and the results for it, go at the end of the turn,
// all in one task.
class CoordinatorHost::Services final : public coordination::CoordinatorServices {
 public:
  Services(CoordinatorHost& host, BrokerShard& shard) : host_(host), shard_(shard), mail_(host.broker_.shard_count()) {}

  void call(coordination::ControllerRequest request, Function<void(coordination::ControllerResult)> done) override {
    // Never inside the call: `done` runs a step.
    auto later = [&loop = shard_.loop, done = std::move(done)](coordination::ControllerResult result) mutable {
      loop.post([done = std::move(done), result]() mutable { done(result); });
    };
    if (auto* topic = std::get_if<coordination::CreateTopic>(&request)) return create(std::move(*topic), std::move(later));
    host_.broker_.next_producer_id(shard_.index(), [later = std::move(later)](Result<int64_t> id) mutable {
      later(id ? coordination::ControllerResult{{}, *id} : coordination::ControllerResult{ErrorCode::kCoordinatorNotAvailable});
    });
  }
  void post(const storage::PartitionId& to, std::any message, Function<void(std::any)> done) override {
    const unsigned owner = host_.broker_.owner(to);
    mail_[owner].push_back([this, to, message = std::move(message), done = std::move(done)](Services& there) mutable {
      host_.deliver(there.shard_, to, std::move(message),
                    [&there, home = shard_.index(), done = std::move(done)](std::any result) mutable {
                      there.mail_[home].push_back(
                          [done = std::move(done), result = std::move(result)](Services&) mutable { done(std::move(result)); });
                      there.send_at_turn_end();
                    });
    });
    send_at_turn_end();
  }

 private:
  using Letter = Function<void(Services& there)>;

  void send_at_turn_end() {
    if (std::exchange(send_scheduled_, true)) return;
    shard_.loop.at_turn_end([this] {
      send_scheduled_ = false;
      for (unsigned to = 0; to < mail_.size(); ++to) {
        if (mail_[to].empty()) continue;
        host_.broker_.run_on(to, [&there = *host_.shards_[to]->services, letters = std::exchange(mail_[to], {})]() mutable {
          for (Letter& letter : letters) letter(there);
        });
      }
    });
  }
  template <typename Done>
  void create(coordination::CreateTopic asked, Done done) {
    Controller::NewTopic topic;
    topic.name = std::move(asked.name);
    topic.partition_count = asked.partition_count;
    std::vector<Controller::NewTopic> topics;
    topics.push_back(std::move(topic));
    host_.broker_.create_topics(shard_.index(), std::move(topics),
                                [done = std::move(done)](Controller::Outcomes outcomes) mutable {
                                  done(coordination::ControllerResult{outcomes.at(0).error});
                                });
  }

  CoordinatorHost& host_;
  BrokerShard& shard_;
  std::vector<std::vector<Letter>> mail_;  // by shard
  bool send_scheduled_ = false;
};

CoordinatorHost::CoordinatorHost(Broker& broker, runtime::Pool& pool, InternalTopic topic)
    : broker_(broker), pool_(pool), topic_(std::move(topic)) {
  for (unsigned i = 0; i < broker_.shard_count(); ++i) {
    BrokerShard& shard = broker_.shard(i);
    auto& mine = shards_.emplace_back(std::make_unique<Shard>());
    mine->services = std::make_unique<Services>(*this, shard);
    mine->image = std::make_shared<CoordinatorImage>(shard.image);
  }
}

CoordinatorHost::~CoordinatorHost() = default;

void CoordinatorHost::begin() {
  broker_.follow_images([this](BrokerShard& shard, const MetadataChange& change) { image_changed(shard, change); });
  for (unsigned i = 0; i < broker_.shard_count(); ++i) {
    BrokerShard& shard = broker_.shard(i);
    shard.loop.post([this, &shard] { start(shard); });
  }
}

void CoordinatorHost::end() { shards_.clear(); }

uint64_t CoordinatorHost::answer_bytes(const coordination::MemoryBound& kept) const {
  const auto bytes = static_cast<uint64_t>(std::max<int64_t>(kept.used_bytes(), 0));
  return std::min(3 * bytes, broker_.budget().limit(MemoryShare::kAnswers) / 2);
}

void CoordinatorHost::deliver(BrokerShard& /*shard*/, const storage::PartitionId& /*to*/, std::any /*message*/,
                              Function<void(std::any)> /*done*/) {
  WEIR_CHECK(false);  // a state machine that posts has a host that delivers
}

coordination::CoordinatorRuntime* CoordinatorHost::find_on(BrokerShard& shard, const Uuid& topic, int32_t index) {
  Shard& mine = *shards_[shard.index()];
  const auto partition = mine.partitions.find(index);
  return mine.stopped || mine.topic != topic || partition == mine.partitions.end() ? nullptr : partition->second.get();
}

void CoordinatorHost::create_topic(unsigned home, Function<void(ErrorCode)> done) {
  if (broker_.shard(home).image->find(topic_.name) != nullptr) return done(ErrorCode::kNone);
  Controller::NewTopic topic;
  topic.name = topic_.name;
  topic.partition_count = topic_.partition_count;
  topic.needed = true;
  for (const auto& [key, value] : topic_.configs) topic.configs[key] = value;
  std::vector<Controller::NewTopic> topics;
  topics.push_back(std::move(topic));
  broker_.create_topics(home, std::move(topics), [this, done = std::move(done)](Controller::Outcomes outcomes) mutable {
    const Controller::Outcome& outcome = outcomes.at(0);
    if (outcome.error != ErrorCode::kNone && outcome.error != ErrorCode::kTopicAlreadyExists) {
      log_warn(topic_.kept, "{} could not be created: {}. Clients that look for a coordinator of {} are asked to retry.",
               topic_.name, outcome.message, topic_.kept);
      return done(ErrorCode::kCoordinatorNotAvailable);
    }
    for (unsigned i = 0; i < broker_.shard_count(); ++i) {
      BrokerShard& shard = broker_.shard(i);
      broker_.run_on(i, [this, &shard] { start(shard); });
    }
    done(ErrorCode::kNone);
  });
}

int32_t CoordinatorHost::partition_count(unsigned home) const {
  const auto* topic = broker_.shard(home).image->find(topic_.name);
  return topic == nullptr ? 0 : topic->partition_count();
}

CoordinatorCounts CoordinatorHost::count(unsigned shard) const {
  CoordinatorCounts counts;
  for (const auto& [index, partition] : shards_[shard]->partitions) {
    if (partition->failed()) {
      ++counts.failed;
      if (counts.some_failed.size() < CoordinatorCounts::kNamedMax) {
        counts.some_failed.push_back({partition->name(), partition->failure()});
      }
    } else if (partition->loaded()) {
      ++counts.active;
      counts.load_ms_max = std::max(counts.load_ms_max, partition->load_ms());
      counts.load_ms_sum += partition->load_ms();
    } else {
      ++counts.loading;
    }
  }
  return counts;
}

void CoordinatorHost::with_partition(unsigned home, int32_t number, bool may_be_kept_back, Use use) {
  const auto* topic = broker_.shard(home).image->find(topic_.name);
  if (topic == nullptr) return use(nullptr, ErrorCode::kNotCoordinator);
  const int32_t index = number % topic->partition_count();
  const unsigned owner = broker_.owner(topic->partition(index));
  if (owner == home) return use_on_owner(broker_.shard(home), index, may_be_kept_back, use);
  broker_.run_on(owner, [this, owner, index, may_be_kept_back, use = std::move(use)]() mutable {
    use_on_owner(broker_.shard(owner), index, may_be_kept_back, use);
  });
}

void CoordinatorHost::use_on_owner(BrokerShard& shard, int32_t index, bool may_be_kept_back, Use& use) {
  start(shard);
  Shard& mine = *shards_[shard.index()];
  const auto partition = mine.partitions.find(index);
  if (mine.stopped || partition == mine.partitions.end()) return use(nullptr, ErrorCode::kNotCoordinator);
  const ErrorCode serving = partition->second->serving(may_be_kept_back);
  use(serving == ErrorCode::kNone ? partition->second.get() : nullptr, serving);
}

void CoordinatorHost::image_changed(BrokerShard& shard, const MetadataChange& change) {
  Shard& mine = *shards_[shard.index()];
  const coordination::ImageChange told = image_change(std::move(mine.image), change);
  mine.image = told.after;
  for (const TopicPtr& topic : change.removed) {
    if (topic->id() == mine.topic) return start(shard);  // they are gone
  }
  for (auto& [index, partition] : mine.partitions) partition->image_changed(told);
}

void CoordinatorHost::load_next(Shard& shard) {
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

void CoordinatorHost::start(BrokerShard& shard) {
  Shard& mine = *shards_[shard.index()];
  const auto* topic = shard.image->find(topic_.name);
  const Uuid id = topic == nullptr ? Uuid() : topic->id();
  if (mine.topic == id || mine.stopped) return;
  mine.topic = id;
  // Coordinators of a deleted topic. One of them may be the caller's caller, so they go in a turn of their own.
  for (auto& [index, partition] : mine.partitions) partition->stop();
  mine.to_load.clear();
  shard.loop.post([gone = std::exchange(mine.partitions, {})] {});
  if (topic == nullptr) return;
  const coordination::CoordinatorRuntime::Surroundings surroundings{pool_, shard.loop, shard.log, *mine.services};
  for (int32_t index = 0; index < topic->partition_count(); ++index) {
    const storage::PartitionId partition = topic->partition(index);
    if (broker_.owner(partition) != shard.index()) continue;
    mine.partitions[index] = make_partition(shard, surroundings, partition, mine.image);
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
