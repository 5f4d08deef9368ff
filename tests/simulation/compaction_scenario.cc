#include "simulation/compaction_scenario.h"

#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "simulation/keyed_log.h"
#include "simulation/log_clients.h"
#include "simulation/log_engine.h"
#include "storage/log/log_cleaner.h"

namespace weir::simulation {

using protocol::ErrorCode;
using storage::LogShard;
using storage::Partition;
using storage::PartitionId;
using testing::SeededRandom;
using testing::SimRuntime;

namespace {

constexpr const char* kLogDir = "/data/log";

// Drawn from the seed. A life has some tens of milliseconds, so some horizons pass in it.
struct CompactionScenarioOptions {
  explicit CompactionScenarioOptions(DrawnOptions& drawn)
      : steps(drawn.one_of("steps", {70, 40, 110})),
        partitions(drawn.one_of("partitions", {3, 1, 5})),
        at_once(drawn.one_of("at-once", {5, 2, 12})),
        segment_bytes(drawn.one_of("segment.bytes", {1'500, 1'200, 10'000})),
        wal_file_bytes(drawn.one_of("wal.file.bytes", {1 << 20, 256 << 10})),
        tail_cache_bytes(drawn.one_of("tail.cache.bytes", {0, 64 << 10})),
        delete_retention_ms(static_cast<int64_t>(drawn.one_of("delete.retention.ms", {40, 0, 200}))),
        file_delete_delay_ms(static_cast<int64_t>(drawn.one_of("file.delete.delay.ms", {30, 0, 200}))),
        read_bytes_max(drawn.one_of("read.bytes.max", {5'000, 500, 50'000})),
        small_maps(drawn.feature("small-offset-map")),
        repeats(drawn.feature("repeats")) {}
  uint64_t steps;  // of the workload, per life
  uint64_t partitions, at_once;
  uint64_t segment_bytes, wal_file_bytes, tail_cache_bytes;
  int64_t delete_retention_ms, file_delete_delay_ms;
  uint64_t read_bytes_max;
  bool small_maps;  // as small as possible, so that a partition takes several cleanings
  bool repeats;
};

class CompactionScenario final : public Scenario {
 public:
  CompactionScenario(SimRuntime& sim, Oracle& oracle, SeededRandom random, DrawnOptions& options)
      : sim_(sim), oracle_(oracle), random_(random), options_(options) {
    const TopicId topic = random_.uuid();
    for (int32_t index = 0; index < static_cast<int32_t>(options_.partitions); ++index)
      logs_.push_back(std::make_unique<KeyedLog>(PartitionId{topic, index}, index + 1));
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
  std::string failure() override { return failure_; }
  void destroy() override {
    cleaner_.reset();
    if (engine_) engine_->shards.clear();
    engine_.reset();
    busy_ = reading_ = unsettled_ = 0;
    cleaning_ = false;
    sending_.clear();
  }

 private:
  storage::LogConfig config() const {
    storage::LogConfig config;
    config.segment_bytes = static_cast<decltype(config.segment_bytes)>(options_.segment_bytes);
    config.cleanup_delete = false;
    config.cleanup_compact = true;
    config.min_cleanable_dirty_ratio = 0.01;
    config.delete_retention_ms = options_.delete_retention_ms;
    config.file_delete_delay_ms = options_.file_delete_delay_ms;
    return config;
  }
  unsigned shards() const { return static_cast<unsigned>(engine_->shards.size()); }
  LogShard& shard(const KeyedLog& log) { return *engine_->shards[storage::shard_of(log.id(), shards())]; }
  runtime::Loop& loop(const KeyedLog& log) { return sim_.loop(storage::shard_of(log.id(), shards())); }
  int64_t now_ms() { return sim_.clock().wall_ms(); }
  void fail_life(const std::string& why) {
    if (failure_.empty()) failure_ = why;
  }

  void step();
  void finished();
  void on_loop(KeyedLog& log, Function<void(Partition&)> task);
  void produce(KeyedLog& log);
  void repeat(KeyedLog& log);
  void checkpoint(KeyedLog& log);
  void clean();
  void consume(KeyedLog& log);
  void read_all(KeyedLog& log, int64_t offset, std::shared_ptr<KeyedRecords> found);
  bool take(const KeyedLog& log, const storage::ReadResult& result, KeyedRecords& records, int64_t& next_offset);
  void note_progress(const KeyedLog& log);

  SimRuntime& sim_;
  Oracle& oracle_;
  SeededRandom random_;
  const CompactionScenarioOptions options_;
  std::vector<std::unique_ptr<KeyedLog>> logs_;
  std::set<const KeyedLog*> sending_;
  int32_t leader_epoch_ = 0;
  std::unique_ptr<LogEngine> engine_;
  std::unique_ptr<storage::LogCleaner> cleaner_;
  std::string failure_;
  uint64_t steps_left_ = 0;
  unsigned busy_ = 0;
  unsigned reading_ = 0;
  unsigned unsettled_ = 0;  // producers and checkpoints
  bool cleaning_ = false;
  bool stopped_ = false;
};

void CompactionScenario::start() {
  failure_.clear();
  stopped_ = false;
  ++leader_epoch_;
  storage::LogOptions options;
  options.log_dir = kLogDir;
  options.shard.tail_cache_bytes = options_.tail_cache_bytes;
  auto engine = LogEngine::open(sim_, options, options_.wal_file_bytes, random_, [&](const PartitionId&) {
    return std::optional(storage::KnownPartition{config(), leader_epoch_});
  });
  if (!engine) return fail_life("start: " + engine.error().message);
  engine_ = std::move(*engine);
  std::vector<LogShard*> all;
  for (const auto& one : engine_->shards) all.push_back(one.get());
  storage::LogCleanerOptions cleaner;
  cleaner.step_bytes = random_.between(100, 8000);
  cleaner.throttle = engine_->throttle.get();
  cleaner.dedupe_buffer_bytes = options_.small_maps ? 0 : 1 << 20;
  cleaner_ = std::make_unique<storage::LogCleaner>(engine_->world, all, *engine_->store, cleaner);
  for (const auto& log : logs_) {
    if (!shard(*log).find(log->id())) shard(*log).add(std::make_unique<Partition>(log->id(), config(), leader_epoch_));
  }
}

void CompactionScenario::on_loop(KeyedLog& log, Function<void(Partition&)> task) {
  ++busy_;
  loop(log).post([this, &log, task = std::move(task)]() mutable { task(*shard(log).find(log.id())); });
}

void CompactionScenario::finished() {
  --busy_;
  if (steps_left_ > 0 && busy_ < options_.at_once) step();
}

void CompactionScenario::work() {
  steps_left_ = options_.steps;
  for (uint64_t i = 0; i + 1 < options_.at_once && steps_left_ > 0; ++i) step();
}

void CompactionScenario::step() {
  --steps_left_;
  KeyedLog& log = *logs_[random_.below(logs_.size())];
  switch (random_.below(12)) {
    case 0:
    case 1:
      return checkpoint(log);
    case 2:
    case 3:
      return clean();
    case 4:
      return options_.repeats ? repeat(log) : produce(log);
    case 5:
    case 6:
      return consume(log);
    default:
      return produce(log);
  }
}

void CompactionScenario::produce(KeyedLog& log) {
  if (!sending_.insert(&log).second) return consume(log);
  on_loop(log, [this, &log](Partition& partition) {
    shard(log).append(
        partition, Slice::copy_of(log.next(random_, oracle_, now_ms())), true, [this, &log](storage::AppendResult result) {
          sending_.erase(&log);
          if (result.error == ErrorCode::kNone) {
            log.acked(result.base_offset, oracle_, now_ms());
          } else if (result.error == ErrorCode::kKafkaStorageError) {
            fail_life("append refused: " + result.message);
          } else {
            oracle_.violation(fmt::format("a producer got error {} ({})", static_cast<int>(result.error), result.message));
          }
          finished();
        });
  });
}

void CompactionScenario::repeat(KeyedLog& log) {
  if (log.last().empty() || !sending_.insert(&log).second) return consume(log);
  on_loop(log, [this, &log](Partition& partition) {
    shard(log).append(partition, Slice::copy_of(log.last()), true, [this, &log](storage::AppendResult result) {
      sending_.erase(&log);
      if (result.error == ErrorCode::kNone) {
        log.repeat_acked(result.base_offset, oracle_);
      } else if (result.error == ErrorCode::kKafkaStorageError) {
        fail_life("append refused: " + result.message);
      } else {
        // A pending batch may be in the log already. The repeated batch is among the producer's last five all the same.
        oracle_.violation(fmt::format("a repeated batch got error {} ({})", static_cast<int>(result.error), result.message));
      }
      finished();
    });
  });
}

void CompactionScenario::checkpoint(KeyedLog& log) {
  on_loop(log, [this, &log](Partition&) {
    shard(log).checkpoint_all([this](Result<void> checkpointed) {
      if (!checkpointed) fail_life("checkpoint: " + checkpointed.error().message);
      finished();
    });
  });
}

// maintain() removes the files that earlier cleanings replaced.
void CompactionScenario::clean() {
  if (std::exchange(cleaning_, true)) return produce(*logs_.front());
  ++busy_;
  sim_.loop(0).post([this] {
    engine_->store->maintain(sim_.loop(0), [] {});
    cleaner_->clean_all([this] {
      cleaning_ = false;
      const auto stats = cleaner_->stats();
      if (stats.uncleanable_partitions > 0) fail_life("a partition cannot be cleaned");
      for (const auto& log : logs_) note_progress(*log);
      finished();
    });
  });
}

// A cleaning is never undone: the manifest was durable before anybody saw it.
void CompactionScenario::note_progress(const KeyedLog& log) {
  loop(log).post([this, &log] {
    const Partition& partition = *shard(log).find(log.id());
    oracle_.never_back(fmt::format("first dirty offset of {}", log.id().index), partition.manifest().first_dirty_offset);
    oracle_.never_back(fmt::format("high watermark of {}", log.id().index), partition.high_watermark());
  });
}

bool CompactionScenario::take(const KeyedLog& log, const storage::ReadResult& result, KeyedRecords& records,
                              int64_t& next_offset) {
  std::string problem;
  for (const storage::FetchPiece& piece : result.pieces) {
    if (const auto* slice = std::get_if<Slice>(&piece)) {
      if (KeyedLog::collect(slice->bytes(), records, next_offset, problem)) continue;
    } else {
      const auto& range = std::get<storage::FileRange>(piece);
      std::vector<uint8_t> bytes(range.length);
      const auto got = range.file->read_at(range.offset, bytes);
      if (!got) return false;
      if (*got < bytes.size()) problem = "the file is shorter than the segment";
      if (problem.empty() && KeyedLog::collect(bytes, records, next_offset, problem)) continue;
    }
    oracle_.violation(fmt::format("reading partition {}: {}", log.id().index, problem));
    return false;
  }
  return true;
}

void CompactionScenario::consume(KeyedLog& log) {
  on_loop(log, [this, &log](Partition& partition) {
    if (partition.high_watermark() == 0) return finished();
    storage::ReadRequest request;
    request.offset = static_cast<int64_t>(random_.below(static_cast<uint64_t>(partition.high_watermark())));
    request.max_bytes = random_.between(1, options_.read_bytes_max);
    const auto done = [this, &log, offset = request.offset](storage::ReadResult result) {
      KeyedRecords records;
      int64_t next_offset = -1;
      if (result.error == ErrorCode::kNone && take(log, result, records, next_offset)) {
        if (next_offset <= offset) oracle_.violation(fmt::format("a reader at {} got nothing", offset));
        if (next_offset > result.high_watermark) oracle_.violation("a reader got past the high watermark");
        log.seen(records, oracle_, now_ms());
      }
      finished();
    };
    storage::ReadResult result;
    if (shard(log).read(partition, request, result, done)) done(std::move(result));
  });
}

void CompactionScenario::verify() {
  for (const auto& log : logs_) {
    ++reading_;
    note_progress(*log);
    loop(*log).post([this, &log = *log] {
      const Partition& partition = *shard(log).find(log.id());
      if (partition.offline()) return oracle_.violation("offline: " + partition.offline_reason());
      read_all(log, 0, std::make_shared<KeyedRecords>());
    });
  }
}

void CompactionScenario::read_all(KeyedLog& log, int64_t offset, std::shared_ptr<KeyedRecords> found) {
  Partition& partition = *shard(log).find(log.id());
  if (offset >= partition.high_watermark()) {
    log.judge(*found, now_ms(), options_.delete_retention_ms, oracle_);
    log.seen(*found, oracle_, now_ms());
    --reading_;
    return;
  }
  const auto done = [this, &log, offset, found](storage::ReadResult result) {
    int64_t next_offset = -1;
    if (result.error != ErrorCode::kNone || !take(log, result, *found, next_offset) || next_offset <= offset) {
      return fail_life(fmt::format("reading partition {} at {}: error {}, {} bytes", log.id().index, offset,
                                   static_cast<int>(result.error), result.bytes));
    }
    read_all(log, next_offset, found);
  };
  storage::ReadRequest request;
  request.offset = offset;
  request.max_bytes = 3000;
  storage::ReadResult result;
  if (shard(log).read(partition, request, result, done)) done(std::move(result));
}

// Batches that got no answer in an earlier life get one now. Then everything is checkpointed and cleaned.
void CompactionScenario::settle() {
  unsettled_ = 1;
  for (const auto& log : logs_) {
    if (!log->has_pending()) continue;
    ++unsettled_;
    on_loop(*log, [this, &log = *log](Partition& partition) {
      shard(log).append(partition, Slice::copy_of(log.next(random_, oracle_, now_ms())), true,
                        [this, &log](storage::AppendResult result) {
                          if (result.error == ErrorCode::kNone) log.acked(result.base_offset, oracle_, now_ms());
                          if (result.error != ErrorCode::kNone) fail_life("append refused: " + result.message);
                          --unsettled_;
                          finished();
                        });
    });
  }
  sim_.loop(0).post([this] {
    cleaner_->clean_all([this] {
      for (const auto& log : logs_) note_progress(*log);
      --unsettled_;
    });
  });
}

void CompactionScenario::stop() {
  engine_->close(sim_, [this](Result<void> closed) {
    if (!closed && !sim_.server_died()) fail_life("cannot close: " + closed.error().message);
    stopped_ = true;
  });
}

}  // namespace

ScenarioFactory compaction_scenario() {
  return [](SimRuntime& sim, Oracle& oracle, SeededRandom random, DrawnOptions& options) {
    return std::make_unique<CompactionScenario>(sim, oracle, random, options);
  };
}

}  // namespace weir::simulation
