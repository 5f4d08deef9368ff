#include "storage/log/log_cleaner.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "storage/segment/segment_names.h"

namespace weir::storage {

namespace {

constexpr const char* kModule = "cleaner";
constexpr const char* kUncleanableRemedy =
    "Its records are kept and served as they are, it grows, and other partitions are compacted. Stop the broker, look at the "
    "file "
    "with weir log verify, and bring it back from a copy or run weir log salvage; a start tries again";

uint64_t bytes_of(const std::vector<SegmentInfo>& segments) {
  uint64_t bytes = 0;
  for (const SegmentInfo& segment : segments) bytes += segment.length;
  return bytes;
}

}  // namespace

struct LogCleaner::Look final : runtime::Homebound {
  explicit Look(runtime::Loop& home) : Homebound(home) {}
  size_t left = 0;
  std::vector<Candidate> candidates;
  Idle idle;
};

// A cleaning under way. `cleaning` is made and used on the pool only, one step after the other.
struct LogCleaner::Run final : runtime::Homebound {
  explicit Run(runtime::Loop& home) : Homebound(home) {}
  unsigned shard = 0;
  PartitionId partition;
  std::unique_ptr<CleaningInput> input;
  PartitionCleaning::Limits limits;
  std::unique_ptr<PartitionCleaning> cleaning;
  Result<PartitionCleaning::Step> stepped;
  SegmentReplacement outcome;
  CleaningStats stats;
  int64_t started_ns = 0;
  uint64_t bytes = 0;
  // The present options, and the time and bytes from which on their rate is kept.
  uint64_t generation = 0;
  uint64_t paced_from_bytes = 0;
  int64_t paced_from_ns = 0;
  BackgroundThrottle* throttle = nullptr;  // null: not held back
  Idle idle;
};

LogCleaner::LogCleaner(const runtime::Runtime& runtime, std::vector<LogShard*> shards, SegmentStore& store,
                       LogCleanerOptions options)
    : runtime_(runtime), home_(*runtime.loops[0]), shards_(std::move(shards)), store_(store), options_(options) {}

LogCleaner::~LogCleaner() { lifetime_.end(); }

void LogCleaner::start() {
  started_ = true;
  start_cleaners();
}

void LogCleaner::start_cleaners() {
  while (cleaners_ < options_.threads) {
    ++cleaners_;
    wait_and_look();
  }
}

void LogCleaner::set_options(LogCleanerOptions options) {
  if (options == options_) return;
  options_ = options;
  ++generation_;
  if (!started_ || stopped_) return;
  // Waiting cleaners wait anew, by the new settings.
  for (unsigned waiting = std::exchange(waiting_, 0u); waiting > 0; --waiting) wait_and_look();
  start_cleaners();
}

void LogCleaner::wait_and_look() {
  if (cleaners_ > options_.threads) {
    --cleaners_;
    return;
  }
  ++waiting_;
  constexpr int64_t kLongestMs = int64_t{365} * 24 * 3600 * 1000;
  const auto delay = std::clamp<int64_t>(options_.backoff_ms, 1, kLongestMs) * runtime::kMillisecond;
  home_.schedule_after(delay, [this, alive = lifetime_.observe(), generation = generation_] {
    if (!alive || stopped_ || generation != generation_) return;
    --waiting_;
    store_.maintain(home_, [] {});  // files that were replaced a while ago
    look([this] { wait_and_look(); });
  });
}

void LogCleaner::clean_all(Function<void()> done) { look(std::move(done)); }

void LogCleaner::look(Idle idle) {
  auto look = runtime::make_homebound<Look>(home_);
  look->left = shards_.size();
  look->idle = std::move(idle);
  for (unsigned i = 0; i < shards_.size(); ++i) {
    runtime_.loops[i]->post([this, alive = lifetime_.observe(), look, i] {
      if (!alive) return;
      shards_[i]->find_cleanable([this, alive, look, i](std::vector<LogShard::Cleanable> found) {
        home_.post([this, alive, look, i, found = std::move(found)] {
          if (!alive) return;
          for (const LogShard::Cleanable& one : found) look->candidates.push_back({one, i});
          if (--look->left == 0) choose(std::move(look->candidates), std::move(look->idle));
        });
      });
    });
  }
}

void LogCleaner::choose(std::vector<Candidate> candidates, Idle idle) {
  double dirtiest = 0;
  uint64_t due_bytes = 0;
  const Candidate* chosen = nullptr;
  std::map<PartitionId, std::string> still_there;
  for (const Candidate& candidate : candidates) {
    const PartitionId& id = candidate.cleanable.partition;
    if (const auto known = uncleanable_.find(id); known != uncleanable_.end()) {
      still_there.insert(*known);
      continue;
    }
    if (in_progress_.contains(id)) continue;
    const double ratio = candidate.cleanable.range.dirty_ratio();
    dirtiest = std::max(dirtiest, ratio);
    if (!candidate.cleanable.due) continue;
    due_bytes += candidate.cleanable.range.cleanable_bytes;
    const bool dirtier = !chosen || ratio > chosen->cleanable.range.dirty_ratio() ||
                         (ratio == chosen->cleanable.range.dirty_ratio() && id < chosen->cleanable.partition);
    if (dirtier) chosen = &candidate;
  }
  uncleanable_ = std::move(still_there);  // deleted ones are forgotten
  {
    const std::lock_guard lock(stats_mutex_);
    stats_.last_look_ms = runtime_.clock->wall_ms();
    list_uncleanable();
    stats_.max_dirty_percent = static_cast<int>(100 * dirtiest);
  }
  const bool behind = due_bytes_ > 0 && due_bytes > due_bytes_;
  due_bytes_ = due_bytes;  // with nothing to do it has caught up
  if (!chosen || stopped_) return idle();
  begin(*chosen, behind, std::move(idle));
}

void LogCleaner::begin(const Candidate& candidate, bool behind, Idle idle) {
  auto run = runtime::make_homebound<Run>(home_);
  run->throttle = behind ? nullptr : options_.throttle;
  run->shard = candidate.shard;
  run->partition = candidate.cleanable.partition;
  run->idle = std::move(idle);
  run->started_ns = run->paced_from_ns = runtime_.clock->monotonic_ns();
  run->generation = generation_;
  run->limits.map_bytes = options_.dedupe_buffer_bytes / std::max(options_.threads, 1u);
  run->limits.map_load_factor = options_.load_factor;
  run->limits.secret.low = home_.random().next();
  run->limits.secret.high = home_.random().next();
  in_progress_.insert(run->partition);
  {
    const std::lock_guard lock(stats_mutex_);
    ++stats_.running;
  }
  runtime_.loops[run->shard]->post([this, alive = lifetime_.observe(), run] {
    if (!alive) return;
    run->input = shards_[run->shard]->begin_cleaning(run->partition);
    home_.post([this, alive, run] {
      if (!alive) return;
      if (!run->input) return ended(*run, fail(weir::ErrorCode::kNotFound, "there is nothing to clean any more"));
      step(run);
    });
  });
}

void LogCleaner::step(runtime::HomeRef<Run> run) {
  // Each read and write has a MiB.
  const uint64_t bytes_max = run->throttle
                                 ? std::min(options_.step_bytes, std::max<uint64_t>(run->throttle->piece_bytes(), 1 << 20))
                                 : options_.step_bytes;
  runtime_.pool->submit(
      [&store = store_, run, bytes_max, clock = runtime_.clock, account = options_.throttle] {
        const int64_t began_ns = clock->monotonic_ns();
        if (!run->cleaning) {
          run->cleaning = std::make_unique<PartitionCleaning>(store, std::move(*run->input), run->limits);
          run->input.reset();
        }
        run->stepped = run->cleaning->step(bytes_max);
        if (run->stepped) run->bytes += run->stepped->bytes;
        if (run->stepped && account)
          account->wrote(BackgroundJob::kCompaction, run->stepped->bytes, clock->monotonic_ns() - began_ns);
        run->outcome = run->cleaning->outcome();
        run->stats = run->cleaning->stats();
        if (!run->stepped || run->stepped->done) run->cleaning.reset();
      },
      home_,
      [this, alive = lifetime_.observe(), run] {
        if (alive) stepped(run);
      });
}

void LogCleaner::stepped(runtime::HomeRef<Run> run) {
  if (!run->stepped) {
    store_.discard(run->outcome, home_);
    return ended(*run, std::unexpected(run->stepped.error()));
  }
  if (stopped_) {
    // The process ends. The next start sweeps the written files.
    return ended(*run, fail(weir::ErrorCode::kClosed, "the cleaner was stopped"));
  }
  if (run->stepped->done) return put_in_place(std::move(run));
  wait_and_step(std::move(run));
}

void LogCleaner::wait_and_step(runtime::HomeRef<Run> run) {
  if (stopped_) return stepped(std::move(run));
  if (run->generation != generation_) {
    // Work at the former rate does not count.
    run->generation = generation_;
    run->paced_from_bytes = run->bytes;
    run->paced_from_ns = runtime_.clock->monotonic_ns();
  }
  const double rate = options_.io_bytes_per_second_max / std::max(options_.threads, 1u);
  const double due_ns = static_cast<double>(run->bytes - run->paced_from_bytes) / rate * static_cast<double>(runtime::kSecond);
  const double ahead_ns = due_ns - static_cast<double>(runtime_.clock->monotonic_ns() - run->paced_from_ns);
  const auto limit = static_cast<int64_t>(std::clamp(ahead_ns, 0.0, 60.0 * static_cast<double>(runtime::kSecond)));
  const int64_t delay = std::max(limit, run->throttle ? run->throttle->wait_ns(BackgroundJob::kCompaction) : 0);
  if (delay < runtime::kMillisecond) return step(std::move(run));
  home_.schedule_after(delay, [this, alive = lifetime_.observe(), run = std::move(run)] {
    if (alive) wait_and_step(run);
  });
}

void LogCleaner::put_in_place(runtime::HomeRef<Run> run) {
  runtime_.loops[run->shard]->post([this, alive = lifetime_.observe(), run] {
    if (!alive) return;
    shards_[run->shard]->finish_cleaning(run->outcome, [this, alive, run](Result<void> result) {
      home_.post([this, alive, run, result = std::move(result)] {
        if (alive) ended(*run, result);
      });
    });
  });
}

void LogCleaner::ended(Run& run, const Result<void>& result) {
  in_progress_.erase(run.partition);
  const bool damaged = !result && is_damage(run.partition, result.error().code);
  if (result) io_errors_.erase(run.partition);
  if (damaged) uncleanable_.emplace(run.partition, result.error().message);
  count(run, result.has_value());
  const std::string name = text_of(run.partition);
  Idle idle = std::move(run.idle);
  if (result) return look(std::move(idle));  // there may be more
  if (damaged) {
    log_event(LogLevel::kError, kModule,
              {.what = fmt::format("Partition {} is not compacted any more", name),
               .reason = result.error().message,
               .remedy = kUncleanableRemedy});
    return look(std::move(idle));
  }
  if (result.error().code != ErrorCode::kNotFound && result.error().code != ErrorCode::kClosed) {
    log_warn(kModule, "Compacting partition {} failed: {}. It is tried again later.", name, result.error().message);
  }
  idle();
}

// A disk may fail once. But a partition whose reads fail again and again must not hold up the others.
bool LogCleaner::is_damage(const PartitionId& partition, ErrorCode code) {
  if (code == ErrorCode::kCorrupt || code == ErrorCode::kInvalid) return true;
  return code == ErrorCode::kIo && ++io_errors_[partition] >= kIoErrorsMax;
}

// With stats_mutex_ held.
void LogCleaner::list_uncleanable() {
  stats_.uncleanable_partitions = uncleanable_.size();
  stats_.uncleanable.clear();
  for (const auto& [partition, why] : uncleanable_) {
    if (stats_.uncleanable.size() == LogCleanerStats::kListedMax) return;
    stats_.uncleanable.push_back({partition, text_of(partition), why});
  }
}

void LogCleaner::count(const Run& run, bool succeeded) {
  const std::lock_guard lock(stats_mutex_);
  --stats_.running;
  list_uncleanable();
  if (!succeeded) {
    ++stats_.failed_runs;
    return;
  }
  ++stats_.runs;
  stats_.last_run = run.stats;
  stats_.last_run_ms = (runtime_.clock->monotonic_ns() - run.started_ns) / runtime::kMillisecond;
  uint64_t before = 0, after = 0;
  for (const auto& group : run.outcome.groups) {
    before += bytes_of(group.sources);
    after += bytes_of(group.outputs);
  }
  stats_.bytes_before += before;
  stats_.bytes_after += after;
  log_info(kModule, "Partition {}: compacted up to offset {}: {} of {} records and {} of {} bytes stay ({} ms)",
           text_of(run.partition), run.outcome.first_dirty_offset, run.stats.records.records_kept, run.stats.records.records_read,
           after, before, stats_.last_run_ms);
}

}  // namespace weir::storage
