#include "simulation/log_scenario.h"

#include <fmt/core.h>

#include <map>
#include <optional>
#include <utility>

#include "simulation/log_clients.h"
#include "simulation/log_engine.h"
#include "simulation/log_reader.h"

namespace weir::simulation {

using protocol::ErrorCode;
using storage::LogShard;
using storage::Partition;
using storage::PartitionId;
using testing::SeededRandom;
using testing::SimRuntime;

namespace {

constexpr const char* kLogDir = "/data/log";

// Drawn from the seed.
struct LogScenarioOptions {
  explicit LogScenarioOptions(DrawnOptions& drawn)
      : steps(drawn.one_of("steps", {60, 30, 100})),
        topics(drawn.one_of("topics", {2, 1, 4})),
        partitions(drawn.one_of("partitions", {2, 1, 4})),
        producers(drawn.one_of("producers", {2, 1, 4})),
        at_once(drawn.one_of("at-once", {6, 2, 20})),
        segment_bytes(drawn.one_of("segment.bytes", {200 << 10, 150 << 10, 1 << 20})),
        wal_file_bytes(drawn.one_of("wal.file.bytes", {1 << 20, 256 << 10, 4 << 20})),
        dirty_bytes_max(drawn.one_of("dirty.bytes.max", {3 << 20, 8 << 20})),
        tail_cache_bytes(drawn.one_of("tail.cache.bytes", {64 << 10, 0, 1 << 20})),
        read_bytes_max(drawn.one_of("read.bytes.max", {100'000, 500})),
        checkpoints(drawn.feature("checkpoints")),
        deletions(drawn.feature("deletions")),
        repeats(drawn.feature("repeats")),
        topics_come_and_go(drawn.feature("topics-come-and-go")),
        retention(drawn.feature("retention")) {}
  uint64_t steps;  // of the workload, per life
  uint64_t topics, partitions, producers, at_once;
  uint64_t segment_bytes, wal_file_bytes, dirty_bytes_max, tail_cache_bytes, read_bytes_max;
  bool checkpoints, deletions, repeats, topics_come_and_go;
  bool retention;  // by time and size; if false, only DeleteRecords moves the log start
};

class LogScenario final : public Scenario {
 public:
  LogScenario(SimRuntime& sim, Oracle& oracle, SeededRandom random, DrawnOptions& options)
      : sim_(sim), oracle_(oracle), random_(random), options_(options) {
    for (uint64_t topic = 0; topic < options_.topics; ++topic) {
      const TopicId id = random_.uuid();
      for (uint64_t index = 0; index < options_.partitions; ++index) create({id, static_cast<int32_t>(index)});
    }
  }

  void start() override;
  bool started() override { return engine_ != nullptr; }
  void verify() override;
  bool verified() override { return reading_ == 0; }
  void work() override;
  bool worked() override { return steps_left_ == 0 && busy_ == 0; }
  void settle() override;
  bool settled() override { return unsettled_ == 0; }
  void stop() override;
  bool stopped() override { return stopped_; }
  void destroy() override {
    if (engine_) engine_->shards.clear();
    engine_.reset();
    busy_ = reading_ = unsettled_ = 0;
  }
  std::string failure() override { return failure_; }

 private:
  struct Living {
    std::vector<std::unique_ptr<LogProducer>> producers;
    bool sending = false;
  };
  void create(const PartitionId& id);
  void add_partition(const PartitionId& id);
  storage::LogConfig config() const;
  LogShard& shard(const PartitionId& id) {
    return *engine_->shards[storage::shard_of(id, static_cast<unsigned>(engine_->shards.size()))];
  }
  runtime::Loop& loop(const PartitionId& id) {
    return sim_.loop(storage::shard_of(id, static_cast<unsigned>(engine_->shards.size())));
  }
  Partition* find(const PartitionId& id) { return shard(id).find(id); }
  // Runs `task` on the partition's loop. It counts as under way until finished() is called.
  void on_loop(const PartitionId& id, Function<void(Partition&)> task);
  void finished();
  void fail_life(const std::string& why) {
    if (failure_.empty()) failure_ = why;
  }

  void step();
  void produce(const PartitionId& id);
  void send(const PartitionId& id, LogProducer& producer);
  void take_answer(Living& living, LogProducer& producer, bool last, const storage::AppendResult& result);
  void repeat(const PartitionId& id);
  void consume(const PartitionId& id, int64_t offset);
  void delete_some(const PartitionId& id);
  void remove_some(const PartitionId& id);
  void retain(const PartitionId& id);
  void note_retention(const PartitionId& id, int64_t log_start);
  void checkpoint(const PartitionId& id);
  void replace_topic();

  SimRuntime& sim_;
  Oracle& oracle_;
  LogReader reader_{oracle_};
  SeededRandom random_;
  const LogScenarioOptions options_;
  std::map<PartitionId, Living> living_;  // topics of the metadata
  std::vector<std::unique_ptr<LogProducer>> retired_;
  int64_t next_producer_id_ = 1;
  int32_t leader_epoch_ = 0;
  int life_ = 0;
  struct Retained {
    int64_t log_start = 0;  // where retention first wanted it
    int life = 0;           // in this life
  };
  std::map<PartitionId, Retained> retained_;
  std::unique_ptr<LogEngine> engine_;
  std::string failure_;
  uint64_t steps_left_ = 0;
  unsigned busy_ = 0;
  unsigned reading_ = 0;
  unsigned unsettled_ = 0;  // producers and shards that have something to do
  bool stopped_ = false;
};

storage::LogConfig LogScenario::config() const {
  storage::LogConfig config;
  config.segment_bytes = static_cast<decltype(config.segment_bytes)>(options_.segment_bytes);
  config.retention_ms = -1;
  if (!options_.retention) return config;
  // A life is short: some tens of milliseconds.
  config.segment_ms = 1;
  config.retention_ms = 4;
  config.retention_bytes = 10'000;
  return config;
}

void LogScenario::create(const PartitionId& id) {
  Living& living = living_[id];
  for (uint64_t i = 0; i < options_.producers; ++i)
    living.producers.push_back(std::make_unique<LogProducer>(id, next_producer_id_++));
}

void LogScenario::add_partition(const PartitionId& id) {
  if (!find(id)) shard(id).add(std::make_unique<Partition>(id, config(), leader_epoch_));
}

void LogScenario::start() {
  failure_.clear();
  stopped_ = false;
  for (auto& [id, living] : living_) living.sending = false;
  ++life_;
  ++leader_epoch_;  // as after every unclean start
  storage::LogOptions options;
  options.log_dir = kLogDir;
  options.shard.dirty_bytes_max = options_.dirty_bytes_max;
  options.shard.tail_cache_bytes = options_.tail_cache_bytes;
  auto engine = LogEngine::open(sim_, options, options_.wal_file_bytes, random_,
                                [&](const PartitionId& id) -> std::optional<storage::KnownPartition> {
                                  if (!living_.contains(id)) return storage::KnownPartition{.deleted = true};
                                  return storage::KnownPartition{config(), leader_epoch_};
                                });
  if (!engine) {
    if (!sim_.server_died()) fail_life("cannot start: " + engine.error().message);
    return;
  }
  engine_ = std::move(*engine);
  for (const auto& [id, living] : living_) add_partition(id);
}

void LogScenario::on_loop(const PartitionId& id, Function<void(Partition&)> task) {
  ++busy_;
  loop(id).post([this, id, task = std::move(task)]() mutable {
    Partition* partition = find(id);
    if (!partition) return finished();  // deleted meanwhile
    task(*partition);
  });
}

void LogScenario::finished() {
  --busy_;
  if (steps_left_ > 0 && busy_ < options_.at_once) step();
}

void LogScenario::work() {
  steps_left_ = options_.steps;
  for (uint64_t i = 0; i < options_.at_once / 2 + 1 && steps_left_ > 0; ++i) step();
}

void LogScenario::step() {
  --steps_left_;
  auto chosen = living_.begin();
  std::advance(chosen, random_.below(living_.size()));
  const PartitionId id = chosen->first;
  switch (random_.below(16)) {
    case 0:
      return options_.checkpoints ? checkpoint(id) : produce(id);
    case 1:
      return remove_some(id);
    case 2:
      return options_.topics_come_and_go && random_.one_in(3) ? replace_topic() : produce(id);
    case 3:
      return options_.repeats ? repeat(id) : produce(id);
    case 4:
    case 5:
    case 6:
      return consume(id, -1);
    case 7:
      return options_.retention ? remove_some(id) : produce(id);
    default:
      return produce(id);
  }
}

void LogScenario::remove_some(const PartitionId& id) {
  if (options_.retention && !(options_.deletions && random_.one_in(4))) return retain(id);
  return options_.deletions ? delete_some(id) : consume(id, -1);
}

void LogScenario::produce(const PartitionId& id) {
  Living& living = living_.at(id);
  LogProducer& producer = *living.producers[random_.below(living.producers.size())];
  if (!living.sending && !random_.one_in(4)) {
    living.sending = true;
    return send(id, producer);
  }
  OutgoingBatch batch = LogProducer::plain(id, random_, oracle_, sim_.clock().wall_ms());
  on_loop(id, [this, id, batch = std::move(batch)](Partition& partition) mutable {
    shard(id).append(partition, Slice::copy_of(batch.bytes), true,
                     [this, id, batch = std::move(batch)](storage::AppendResult result) {
                       for (size_t i = 0; result.error == ErrorCode::kNone && i < batch.payloads.size(); ++i) {
                         oracle_.acked(name_of(id), result.base_offset + static_cast<int64_t>(i), batch.payloads[i]);
                       }
                       finished();
                     });
  });
}

void LogScenario::send(const PartitionId& id, LogProducer& producer) {
  on_loop(id, [this, id, &producer](Partition& partition) {
    const Slice batch = Slice::copy_of(producer.next(random_, oracle_, sim_.clock().wall_ms()).bytes);
    // Now and then the batch goes out twice, the second time before the answer to the first, as from a client that lost its
    // connection.
    const bool twice = options_.repeats && random_.one_in(5);
    const auto answered = [this, id, &producer](bool last, const storage::AppendResult& result) {
      if (living_.contains(id)) take_answer(living_.at(id), producer, last, result);
      finished();
    };
    if (twice) {
      ++busy_;
      const Slice again = Slice::copy_of(producer.pending().bytes);
      shard(id).append(partition, again, true, [answered](storage::AppendResult result) { answered(false, result); });
    }
    shard(id).append(partition, batch, true, [answered](storage::AppendResult result) { answered(true, result); });
  });
}

// Answers come in the order of the requests. The batch stays pending until the `last` of them.
void LogScenario::take_answer(Living& living, LogProducer& producer, bool last, const storage::AppendResult& result) {
  if (last) living.sending = false;
  const PartitionId& id = producer.partition();
  if (result.error == ErrorCode::kNone) {
    producer.acked(result.base_offset, last, oracle_);
  } else if (result.error == ErrorCode::kKafkaStorageError) {
    fail_life("append refused: " + result.message);
  } else {
    oracle_.violation(fmt::format("producer {} of {}: error {} ({})", producer.producer_id(), id.topic.to_string(),
                                  static_cast<int>(result.error), result.message));
  }
}

// Sends an acknowledged batch once more. The answer has the original offset.
void LogScenario::repeat(const PartitionId& id) {
  Living& living = living_.at(id);
  LogProducer& producer = *living.producers[0];
  if (living.sending || producer.has_pending() || producer.last().bytes.empty()) return produce(id);
  living.sending = true;
  on_loop(id, [this, id, &producer](Partition& partition) {
    shard(id).append(partition, Slice::copy_of(producer.last().bytes), true, [this, id, &producer](storage::AppendResult result) {
      if (!living_.contains(id)) return finished();
      living_.at(id).sending = false;
      if (result.error == ErrorCode::kKafkaStorageError) {
        fail_life("append refused: " + result.message);
      } else if (result.error != ErrorCode::kNone) {
        oracle_.violation(fmt::format("a repeated batch of producer {} got error {} ({})", producer.producer_id(),
                                      static_cast<int>(result.error), result.message));
      } else {
        oracle_.producer_acked(name_of(id), producer.producer_id(), 0, producer.last().base_sequence, result.base_offset);
      }
      finished();
    });
  });
}

void LogScenario::consume(const PartitionId& id, int64_t offset) {
  on_loop(id, [this, id, offset](Partition& partition) {
    const int64_t start = partition.log_start_offset(), end = partition.high_watermark();
    if (start == end) return finished();
    storage::ReadRequest request;
    request.offset = offset >= start ? offset : static_cast<int64_t>(random_.between(start, end - 1));
    request.max_bytes = random_.between(1, options_.read_bytes_max);
    const auto done = [this, id](storage::ReadResult result) {
      std::map<int64_t, uint64_t> records;
      if (result.error == ErrorCode::kNone && reader_.take(id, result, records)) {
        for (const auto& [at, payload] : records) {
          if (at < result.high_watermark) oracle_.read(name_of(id), at, payload);
          if (at >= result.high_watermark) oracle_.violation(fmt::format("read at {}, past the high watermark", at));
        }
      }
      finished();
    };
    storage::ReadResult result;
    if (shard(id).read(partition, request, result, done)) done(std::move(result));
  });
}

void LogScenario::delete_some(const PartitionId& id) {
  on_loop(id, [this, id](Partition& partition) {
    const int64_t start = partition.log_start_offset(), end = partition.high_watermark();
    if (start == end) return finished();
    const auto before = static_cast<int64_t>(random_.between(start, start + (end - start) / 3));
    retained_.erase(id);  // retention and DeleteRecords could not be told apart
    oracle_.delete_requested(name_of(id), before);
    shard(id).delete_records(partition, before, [this, id](Result<int64_t> log_start) {
      if (log_start) oracle_.delete_acked(name_of(id), *log_start);
      finished();
    });
  });
}

// The log start that retention wants is known before it is durable. No record above it may go.
void LogScenario::retain(const PartitionId& id) {
  on_loop(id, [this, id](Partition&) {
    std::map<PartitionId, int64_t> before;
    shard(id).for_each([&](const Partition& one) { before[one.id()] = one.pending_log_start(); });
    shard(id).run_retention();
    shard(id).for_each([&](const Partition& one) {
      if (one.pending_log_start() > before[one.id()]) retained_.try_emplace(one.id(), Retained{one.pending_log_start(), life_});
      oracle_.delete_requested(name_of(one.id()), one.pending_log_start());
      oracle_.delete_acked(name_of(one.id()), one.log_start_offset());
      if (one.pending_log_start() > one.high_watermark()) oracle_.violation("retention goes past the high watermark");
    });
    finished();
  });
}

void LogScenario::note_retention(const PartitionId& id, int64_t log_start) {
  const auto found = retained_.find(id);
  if (found == retained_.end() || log_start < found->second.log_start) return;
  oracle_.happened(kRetentionMovedAStart);
  if (life_ > found->second.life) oracle_.happened(kRetentionOutlivedADeath);
  if (life_ > found->second.life) retained_.erase(found);
}

void LogScenario::checkpoint(const PartitionId& id) {
  on_loop(id, [this, id](Partition&) {
    shard(id).checkpoint_all([this](Result<void> checkpointed) {
      if (!checkpointed) fail_life("checkpoint: " + checkpointed.error().message);
      finished();
    });
  });
}

// The metadata loses one topic and gains another; the metadata itself is not under test here.
void LogScenario::replace_topic() {
  auto chosen = living_.begin();
  std::advance(chosen, random_.below(living_.size()));
  const PartitionId id = chosen->first;
  // Producers of the old topic may be waiting for an answer that refers to them.
  for (auto& producer : chosen->second.producers) retired_.push_back(std::move(producer));
  living_.erase(chosen);
  on_loop(id, [this, id](Partition&) {
    shard(id).drop(id);
    finished();
  });
  const PartitionId fresh{random_.uuid(), static_cast<int32_t>(random_.below(3))};
  create(fresh);
  ++busy_;
  loop(fresh).post([this, fresh] {
    add_partition(fresh);
    finished();
  });
}

void LogScenario::verify() {
  for (const auto& entry : living_) {
    ++reading_;
    loop(entry.first).post([this, id = entry.first] {
      Partition* partition = find(id);
      if (!partition) return oracle_.violation("partition " + id.topic.to_string() + " is gone");
      if (partition->offline()) return oracle_.violation("offline: " + partition->offline_reason());
      note_retention(id, partition->log_start_offset());
      const std::string name = fmt::format("{}-{}", id.topic.to_string(), id.index);
      if (!partition->epochs().empty()) oracle_.never_back("leader epoch of " + name, partition->epochs().back().epoch);
      if (partition->log_end_offset() < partition->high_watermark()) oracle_.violation(name + ": end below high watermark");
      reader_.read_all(shard(id), id, [this, id](Result<Oracle::Found> found) {
        if (!found) return fail_life(found.error().message);
        oracle_.found(name_of(id), *found);
        --reading_;
      });
    });
  }
}

// Batches that got no answer in an earlier life get one now. Then everything is checkpointed.
void LogScenario::settle() {
  for (auto& [id, living] : living_) {
    for (const auto& producer : living.producers) {
      if (!producer->has_pending()) continue;
      ++unsettled_;
      on_loop(id, [this, id, &living, &producer = *producer](Partition& partition) {
        const Slice batch = Slice::copy_of(producer.pending().bytes);
        shard(id).append(partition, batch, true, [this, &living, &producer](storage::AppendResult result) {
          take_answer(living, producer, true, result);
          --unsettled_;
          finished();
        });
      });
    }
  }
  for (unsigned i = 0; i < engine_->shards.size(); ++i) {
    ++unsettled_;
    sim_.loop(i).post([this, i] {
      engine_->shards[i]->checkpoint_all([this](Result<void> checkpointed) {
        if (!checkpointed) fail_life("checkpoint: " + checkpointed.error().message);
        --unsettled_;
      });
    });
  }
}

void LogScenario::stop() {
  engine_->close(sim_, [this](Result<void> closed) {
    if (!closed && !sim_.server_died()) fail_life("cannot close: " + closed.error().message);
    stopped_ = true;
  });
}

}  // namespace

ScenarioFactory log_scenario() {
  return [](SimRuntime& sim, Oracle& oracle, SeededRandom random, DrawnOptions& options) {
    return std::make_unique<LogScenario>(sim, oracle, random, options);
  };
}

}  // namespace weir::simulation
