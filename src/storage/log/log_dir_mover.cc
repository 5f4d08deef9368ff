#include "storage/log/log_dir_mover.h"

#include <algorithm>
#include <utility>

#include "base/counted.h"
#include "base/log.h"
#include "storage/log/segment_time_check.h"
#include "storage/segment/segment_copy.h"

namespace weir::storage {

namespace {
constexpr const char* kModule = "mover";
}  // namespace

// A segment on its way. `copy` is made and used on the pool only, one step after the other.
struct LogDirMover::Move final : runtime::Homebound {
  explicit Move(runtime::Loop& home) : Homebound(home) {}
  unsigned shard = 0;
  LogShard::Misplaced what;
  SegmentReplacement outcome;
  std::unique_ptr<SegmentCopy> copy;
  std::unique_ptr<SegmentTimeCheck> check;  // instead of a copy
  uint64_t mended = 0, unreadable = 0;      // batches of the check
  SegmentInfo aged;                         // if the check fails
  std::string damage;                       // the reason to give up the check
  Result<bool> stepped = false;

  Result<void> begin_copy(ManifestStore& manifests, LogDirectoryStore& directories);
  Result<bool> copy_some(ManifestStore& manifests, LogDirectoryStore& directories, uint64_t bytes_max, uint64_t& worked);
  Result<bool> check_some(SegmentStore& store, uint64_t bytes_max, int64_t now_ms, uint64_t& worked);
};

Result<void> LogDirMover::Move::begin_copy(ManifestStore& manifests, LogDirectoryStore& directories) {
  auto generation = manifests.begin_rewrite(what.partition);
  if (!generation) return std::unexpected(std::move(generation.error()));
  SegmentInfo target = *what.segment;
  target.directory = what.target;
  target.generation = *generation;
  outcome.groups = {{{*what.segment}, {target}}};
  auto made = directories.copy_segment(what.partition, *what.segment, {what.target, *generation});
  if (!made) return std::unexpected(std::move(made.error()));
  copy = std::move(*made);
  return {};
}

Result<bool> LogDirMover::Move::copy_some(ManifestStore& manifests, LogDirectoryStore& directories, uint64_t bytes_max,
                                          uint64_t& worked) {
  if (!copy) {
    if (auto begun = begin_copy(manifests, directories); !begun) return std::unexpected(std::move(begun.error()));
  }
  const uint64_t before = copy->copied_bytes();
  auto done = copy->step(bytes_max);
  worked = copy->copied_bytes() - before;
  if (!done || *done) copy.reset();
  return done;
}

Result<bool> LogDirMover::Move::check_some(SegmentStore& store, uint64_t bytes_max, int64_t now_ms, uint64_t& worked) {
  if (!check) check = std::make_unique<SegmentTimeCheck>(store, what.partition, *what.segment, now_ms, what.may_write);
  const uint64_t before = check->worked_bytes();
  auto done = check->step(bytes_max);
  worked = check->worked_bytes() - before;
  outcome.groups = {{{*what.segment}, {check->result()}}};
  mended = check->mended_batches();
  unreadable = check->unreadable_batches();
  if (!done) aged = check->aged();
  if (!done || *done) check.reset();
  return done;
}

LogDirMover::LogDirMover(const runtime::Runtime& runtime, std::vector<LogShard*> shards, SegmentStore& store, LogCleaner& cleaner,
                         LogDirMoverOptions options)
    : runtime_(runtime),
      home_(*runtime.loops[0]),
      shards_(std::move(shards)),
      store_(store),
      cleaner_(cleaner),
      options_(options) {
  for (LogShard* shard : shards_) {
    to_check_.segments += shard->unknown_times().segments;
    to_check_.bytes += shard->unknown_times().bytes;
    shard->watch_moves([this, alive = lifetime_.observe()] {
      home_.post([this, alive] {
        if (alive) look();
      });
    });
  }
}

LogDirMover::~LogDirMover() {
  lifetime_.end();
  for (LogShard* shard : shards_) shard->watch_moves({});
}

void LogDirMover::start() {
  progress_told_ns_ = runtime_.clock->monotonic_ns();
  if (to_check_.segments > 0) {
    log_info(kModule,
             "The times of {} stored segments ({} MiB) are those that producers named; the records are looked at in the "
             "background. Until then nothing of them is deleted for its age, nor compacted, and offsets by time are found by "
             "reading",
             to_check_.segments, to_check_.bytes >> 20);
  }
  look();
}

void LogDirMover::tell_progress(bool end) {
  const int64_t now_ns = runtime_.clock->monotonic_ns();
  if (checked_.segments == 0 || (!end && now_ns - progress_told_ns_ < kProgressNs)) return;
  progress_told_ns_ = now_ns;
  log_info(kModule, "{} of {} segments were looked at for the times of their records, {} of {} MiB: {} mended{}{}{}",
           checked_.segments, to_check_.segments, checked_.bytes >> 20, to_check_.bytes >> 20,
           counted(checked_.mended, "batch", "batches"),
           checked_.unreadable > 0 ? fmt::format(", {} have records that cannot be read", checked_.unreadable) : "",
           checked_.damaged > 0 ? fmt::format(", {} damaged", counted(checked_.damaged, "segment is", "segments are")) : "",
           end ? ". No others are left" : "");
  if (end) checked_ = {};
}

void LogDirMover::look() {
  if (stopped_) return;
  look_again_ = busy_;
  if (std::exchange(busy_, true)) return;
  ask(0);
}

// Asks one shard after the other. The first one with something to move gets its turn.
void LogDirMover::ask(unsigned shard, const PartitionId& from) {
  if (shard == shards_.size() || stopped_) {
    busy_ = false;
    if (std::exchange(look_again_, false)) return look();
    if (std::exchange(waits_for_space_, false)) {
      home_.schedule_after(kRetryNs, [this, alive = lifetime_.observe()] {
        if (alive) this->look();
      });
    } else if (skipped_.empty()) {
      tell_progress(true);
    }
    return;
  }
  runtime_.loops[shard]->post([this, alive = lifetime_.observe(), shard, from, skipped = skipped_] {
    if (!alive) return;
    auto look = shards_[shard]->find_misplaced(skipped, from);
    home_.post([this, alive, shard, look = std::move(look)] {
      if (!alive) return;
      waits_for_space_ |= look.waits_for_space;
      if (look.found) return begin(shard, *look.found);
      if (look.next) return ask(shard, *look.next);
      ask(shard + 1);
    });
  });
}

void LogDirMover::begin(unsigned shard, LogShard::Misplaced misplaced) {
  if (!cleaner_.hold(misplaced.partition)) {
    skip(misplaced.partition, kCleanedNs);
    return ask(shard);
  }
  auto move = runtime::make_homebound<Move>(home_);
  move->shard = shard;
  move->what = std::move(misplaced);
  if (!move->what.segment) return arrive(move);
  move->outcome.partition = move->what.partition;
  move->outcome.file_delete_delay_ms = move->what.file_delete_delay_ms;
  move->outcome.move = !move->what.times_only;
  // A segment that found no room is checked without writing, then tried again.
  if (move->what.times_only && no_room_.erase(move->what.partition) > 0) move->what.may_write = false;
  step(std::move(move));
}

// The partition has no segment left to copy. Retention took them, or there were none.
void LogDirMover::arrive(const runtime::HomeRef<Move>& move) {
  runtime_.loops[move->shard]->post([this, alive = lifetime_.observe(), move] {
    if (!alive) return;
    const auto tell = [this, alive, move](Result<void> result) {
      home_.post([this, alive, move, result = std::move(result)] {
        if (alive) ended(*move, result);
      });
    };
    Partition* partition = shards_[move->shard]->find(move->what.partition);
    if (!partition) return tell(fail(weir::ErrorCode::kNotFound, "the partition is gone"));
    shards_[move->shard]->set_directory(*partition, move->what.target, tell);
  });
}

void LogDirMover::step(runtime::HomeRef<Move> move) {
  const uint64_t bytes_max = options_.throttle
                                 ? std::min(options_.step_bytes, std::max<uint64_t>(options_.throttle->piece_bytes(), 1 << 20))
                                 : options_.step_bytes;
  runtime_.pool->submit(
      [&store = store_, directories = options_.directories, move, bytes_max, clock = runtime_.clock,
       account = options_.throttle] {
        const int64_t began_ns = clock->monotonic_ns();
        uint64_t worked = 0;
        move->stepped = move->what.times_only ? move->check_some(store, bytes_max, clock->wall_ms(), worked)
                                              : move->copy_some(store, *directories, bytes_max, worked);
        if (account && worked > 0) account->wrote(BackgroundJob::kCompaction, worked, clock->monotonic_ns() - began_ns);
      },
      home_,
      [this, alive = lifetime_.observe(), move] {
        if (alive) stepped(move);
      });
}

void LogDirMover::stepped(runtime::HomeRef<Move> move) {
  if (!move->stepped) {
    store_.discard(move->outcome, home_);
    if (stopped_ || !move->what.times_only || !stays_unreadable(*move)) {
      return ended(*move, std::unexpected(move->stepped.error()));
    }
    move->damage = move->stepped.error().message;
    move->outcome.groups = {{{*move->what.segment}, {move->aged}}};
    return put_in_place(move);
  }
  if (stopped_) return;  // the next start sweeps the copy
  if (*move->stepped) return put_in_place(move);
  wait_and_step(std::move(move));
}

// A disk may fail once, but damage stays.
bool LogDirMover::stays_unreadable(const Move& move) {
  const ErrorCode code = move.stepped.error().code;
  if (code == ErrorCode::kCorrupt || code == ErrorCode::kInvalid) return true;
  return code != ErrorCode::kNoSpace && code != ErrorCode::kClosed && ++failures_[move.what.partition] >= kFailuresMax;
}

void LogDirMover::wait_and_step(runtime::HomeRef<Move> move) {
  if (stopped_) return;
  const int64_t delay = options_.throttle ? options_.throttle->wait_ns(BackgroundJob::kCompaction) : 0;
  if (delay < runtime::kMillisecond) return step(std::move(move));
  home_.schedule_after(delay, [this, alive = lifetime_.observe(), move = std::move(move)] {
    if (alive) wait_and_step(move);
  });
}

void LogDirMover::put_in_place(const runtime::HomeRef<Move>& move) {
  runtime_.loops[move->shard]->post([this, alive = lifetime_.observe(), move] {
    if (!alive) return;
    const auto done = [this, alive, move](Result<void> result) {
      home_.post([this, alive, move, result = std::move(result)] {
        if (alive) ended(*move, result);
      });
    };
    LogShard& shard = *shards_[move->shard];
    move->what.times_only ? shard.finish_check(move->outcome, move->damage, done) : shard.finish_move(move->outcome, done);
  });
}

void LogDirMover::ended(const Move& move, const Result<void>& result) {
  const PartitionId& partition = move.what.partition;
  cleaner_.release(partition);
  if (move.what.times_only) return check_ended(move, result);
  const std::string& target = options_.directories->directories().path(move.what.target);
  {
    const std::lock_guard lock(stats_mutex_);
    if (!result) ++stats_.failures;
    if (result && move.what.segment) {
      ++stats_.segments;
      stats_.bytes += move.what.segment->length;
    }
  }
  if (result) {
    remove_old_file_later(move);
    log_debug(kModule, "Partition {}: a segment is in {} now", text_of(partition), target);
  } else {
    // Not if the partition was deleted.
    const LogLevel level = result.error().code == ErrorCode::kNotFound ? LogLevel::kDebug : LogLevel::kWarn;
    log_event(
        level, kModule,
        {.what = fmt::format("Moving partition {} to {} does not get on; it serves from where it is", text_of(partition), target),
         .reason = result.error().message,
         .remedy = remedy_of(result.error(),
                             "It is tried again in 30 seconds. Make room there or check the disk, or name "
                             "another directory")});
    skip(partition, kRetryNs);
  }
  look_again_ = true;
  ask(static_cast<unsigned>(shards_.size()));
}

// The old file goes once no reader can use it any more.
void LogDirMover::remove_old_file_later(const Move& move) {
  home_.schedule_after((move.what.file_delete_delay_ms + 1000) * runtime::kMillisecond, [this, alive = lifetime_.observe()] {
    if (alive && !stopped_) store_.maintain(home_, [] {});
  });
}

void LogDirMover::check_ended(const Move& move, const Result<void>& result) {
  const PartitionId& partition = move.what.partition;
  const SegmentInfo& before = *move.what.segment;
  if (result) {
    const SegmentInfo& after = move.outcome.groups.front().outputs.front();
    failures_.erase(partition);
    if (after.generation != before.generation) {
      remove_old_file_later(move);
      log_debug(kModule, "Partition {}: the times of {} from offset {} on were mended", text_of(partition),
                counted(move.mended, "batch", "batches"), after.base_offset);
    }
    // A segment that must still be written anew comes again.
    if (after.times_known || !move.damage.empty()) {
      ++checked_.segments;
      checked_.bytes += before.length;
    }
    checked_.mended += move.mended;
    checked_.unreadable += move.damage.empty() ? move.unreadable : 0;
    checked_.damaged += !move.damage.empty();
    tell_progress(false);
  }
  if (!result || !move.damage.empty()) {
    const std::lock_guard lock(stats_mutex_);
    ++stats_.failures;
  }
  if (!move.damage.empty() && result) {
    log_event(LogLevel::kError, kModule,
              {.what = fmt::format(
                   "Partition {}: the segment from offset {} on cannot be looked into for the times of its records. "
                   "For retention what cannot be read is as old as {} (ms since 1970); nothing of the partition is compacted",
                   text_of(partition), before.base_offset, move.aged.modified_ms),
               .reason = move.damage,
               .remedy = "Stop the broker, look at the file with weir log verify, and bring it back from a copy or run weir log "
                         "salvage; a start looks again"});
  } else if (!result) {
    // Not if the partition was deleted.
    const LogLevel level = result.error().code == ErrorCode::kNotFound ? LogLevel::kDebug : LogLevel::kWarn;
    log_event(level, kModule,
              {.what = fmt::format("The times of the records of partition {} could not be found out; until they are, nothing of "
                                   "it is deleted for its age, nor compacted",
                                   text_of(partition)),
               .reason = result.error().message,
               .remedy = "Check the disk and `weir log verify`. It is tried again in 30 seconds"});
    const bool no_space = result.error().code == ErrorCode::kNoSpace;
    if (no_space && !before.age_known) no_room_.insert(partition);
    // The check must not fill a nearly full disk again and again.
    skip(partition, no_space && before.age_known ? kNoSpaceRetryNs : kRetryNs);
  }
  look_again_ = true;
  ask(static_cast<unsigned>(shards_.size()));
}

void LogDirMover::skip(const PartitionId& partition, int64_t delay_ns) {
  skipped_.insert(partition);
  home_.schedule_after(delay_ns, [this, alive = lifetime_.observe(), partition] {
    if (!alive) return;
    skipped_.erase(partition);
    look();
  });
}

}  // namespace weir::storage
