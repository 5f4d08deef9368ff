// LogShard: moving the tail into segments, and what else changes manifests (DeleteRecords, retention, expiry).
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "storage/log/log_shard.h"

namespace weir::storage {

void LogShard::mark_dirty(Partition& partition) {
  if (partition.dirty_place_ == Partition::kUnlisted) list(dirty_, &Partition::dirty_place_, partition);
}

void LogShard::list(std::vector<Partition*>& partitions, size_t Partition::* place, Partition& partition) {
  partition.*place = partitions.size();
  partitions.push_back(&partition);
}

// The last one takes its place.
void LogShard::unlist(std::vector<Partition*>& partitions, size_t Partition::* place, Partition& partition) {
  if (partition.*place == Partition::kUnlisted) return;
  partitions[partition.*place] = partitions.back();
  partitions.back()->*place = partition.*place;
  partitions.pop_back();
  partition.*place = Partition::kUnlisted;
}

// The background must not fall behind, nor keep anybody waiting for it: then it is not held back.
void LogShard::report_pressure() {
  if (!options_.throttle) return;
  const bool awaited = !held_.empty() || merge_everything_ || !commit_waiters_.empty() || !next_commit_waiters_.empty();
  const double dirty =
      static_cast<double>(wal_->unreleased_bytes()) / static_cast<double>(std::max<uint64_t>(options_.unmerged_bytes_max, 1));
  options_.throttle->set_pressure(loop_.index(), awaited || lacks_space() ? 1.0 : dirty);
}

void LogShard::maybe_merge() {
  if (merging_ || merge_retry_ || wal_->ended()) return;
  // A WAL file is merged once the next one has begun: large runs for busy partitions, and the dirty tail stays small.
  ChunkNumber up_to = wal_->last_chunk_of_oldest_file();
  if (up_to > wal_->durable() || up_to <= merged_) up_to = 0;  // on its way, or kept though nobody needs it
  const bool everything = merge_everything_ && acks_.empty();  // otherwise once the flush under way is done
  if (everything) up_to = wal_->durable();
  if (up_to == 0 && next_commit_waiters_.empty() && !everything && !early_merges_) return;
  start_merge(up_to);
}

MergeInput::MergeInput(const Partition& partition, ChunkNumber up_to)
    : partition_(partition), up_to_(up_to), floor_(partition.manifest_.end_offset) {
  input_.partition = partition.id_;
  input_.log_start_offset = partition.pending_log_start_;
  input_.segment_bytes = partition.config_.segment_bytes;
  input_.segment_ms = partition.config_.roll_ms();
  input_.expired_producers = partition.expired_producers_;
}

// The producers as of the new floor, not as of now: rebuilt from the batches below it; the store completes the window
// of five from its previous row. State ahead of the floor would refuse what recovery replays. Batches that were
// deleted before they were merged count as well: nobody sees them again, yet a resend of them is a duplicate.
size_t MergeInput::add(size_t batches) {
  size_t added = 0;
  for (size_t i = partition_.tail_index(floor_); i < partition_.tail_.size() && added < batches; ++i, ++added) {
    const TailBatch& batch = partition_.tail_[i];
    const bool merged = batch.chunk <= up_to_;
    if (!merged && batch.facts.last_offset() >= input_.log_start_offset) break;
    if (merged) input_.batches.push_back({batch.facts, batch.bytes});
    floor_ = batch.facts.next_offset();
    if (batch.facts.producer_id == kNoProducerId) continue;
    const ProducerEntry* current = partition_.producers().find(batch.facts.producer_id);
    // A forgotten producer has no row after this merge, though an earlier one may have left or removed it. A row that this merge
    // has begun is a whole one, and goes with the next.
    if (!current && !producers_.find(batch.facts.producer_id)) {
      input_.expired_producers.push_back(batch.facts.producer_id);
      continue;
    }
    producers_.update(batch.facts, current ? current->last_timestamp : batch.facts.max_timestamp);
  }
  return added;
}

MergePartition MergeInput::take() {
  for (const EpochStart& epoch : partition_.epochs()) {
    if (epoch.start_offset < floor_) input_.epochs.push_back(epoch);
  }
  for (const AbortedTransaction& one : partition_.state().aborted()) {
    if (one.last_offset >= floor_) break;
    // Of a marker that was deleted before it was merged nobody reads what it ended.
    if (one.last_offset >= input_.log_start_offset) input_.aborted.push_back(one);
  }
  for (const ProducerEntry& entry : producers_.entries()) input_.producers.push_back(entry);
  std::ranges::sort(input_.producers, {}, &ProducerEntry::producer_id);
  std::ranges::sort(input_.expired_producers);
  const auto twice = std::ranges::unique(input_.expired_producers);
  input_.expired_producers.erase(twice.begin(), twice.end());
  return std::move(input_);
}

void LogShard::start_merge(ChunkNumber up_to) {
  merging_ = true;
  early_merges_ = false;
  merge_started_ns_ = runtime_.clock->monotonic_ns();
  commit_waiters_ = std::move(next_commit_waiters_);
  next_commit_waiters_.clear();
  ++merge_number_;
  plan_.emplace(MergePlanning{});  // its own default constructor is not known where plan_ is declared
  plan_->up_to = up_to;
  plan_->left = dirty_.size();
  plan_slice();
}

// Downwards: whoever leaves the list has the last one take its place, so nobody is missed, and planned_merge_ says who was
// asked before. Those that come to the list meanwhile have nothing that is to be merged now.
void LogShard::plan_slice() {
  MergePlanning& plan = *plan_;
  for (size_t work = 0; work < kBatchesPerTurn;) {
    if (plan.building) {
      const size_t added = plan.building->add(kBatchesPerTurn - work);
      work += added + kBatchesPerTurn / kPartitionsPerTurn;
      if (added == 0) end_planning_of(*plan.partition);
      continue;
    }
    plan.left = std::min(plan.left, dirty_.size());
    if (plan.left == 0) return merge_planned();
    Partition& partition = *dirty_[--plan.left];
    if (std::exchange(partition.planned_merge_, merge_number_) == merge_number_) continue;
    const bool early = std::exchange(partition.merge_early_, false);
    plan.partition = &partition;
    plan.building.emplace(partition, early ? std::max(plan.up_to, wal_->durable()) : plan.up_to);
    partition.expiring_producers_ = partition.expired_producers_.size();
  }
  loop_.post([this, alive = alive_] {
    if (*alive) plan_slice();
  });
}

void LogShard::end_planning_of(Partition& partition) {
  MergePartition input = plan_->building->take();
  plan_->building.reset();
  const bool changed = input.log_start_offset != partition.manifest_.log_start_offset || !input.expired_producers.empty();
  if (!input.batches.empty() || changed) plan_->input.push_back(std::move(input));
  else if (!partition.unmerged() && partition.expired_producers_.empty()) unlist(dirty_, &Partition::dirty_place_, partition);
}

void LogShard::merge_planned() {
  const ChunkNumber up_to = plan_->up_to;
  std::vector<MergePartition> input = std::move(plan_->input);
  if (plan_->dropped) std::erase_if(input, [this](const MergePartition& one) { return !find(one.partition); });
  plan_.reset();
  if (input.empty()) return merge_done(up_to, std::vector<PartitionManifest>{});
  store_.merge(std::move(input), loop_, [this, alive = alive_, up_to](Result<std::vector<PartitionManifest>> result) {
    if (*alive) merge_done(up_to, std::move(result));
  });
}

void LogShard::adopt_manifest(PartitionManifest manifest) {
  Partition* partition = find(manifest.partition);
  if (!partition) return;  // deleted meanwhile
  partition->take_manifest(std::move(manifest));
  if (partition->manifest_.log_start_offset > partition->log_start_offset_) {
    partition->log_start_offset_ = partition->manifest_.log_start_offset;
    partition->state_.forget_epochs_before(partition->log_start_offset_);
    forget_unreadable(*partition);
    partition->wake_all();
  }
}

void LogShard::merge_done(ChunkNumber up_to, Result<std::vector<PartitionManifest>> result) {
  merge_totals_.add(runtime_.clock->monotonic_ns() - merge_started_ns_, result.has_value());
  if (!result) return merge_failed(result.error());
  if (merge_failing_) log_info("log", "Shard {}: moving data into segments works again", loop_.index());
  merge_failing_ = false;
  adopting_ = std::move(*result);
  adopt_slice(up_to);
}

void LogShard::merge_failed(const Error& error) {
  merging_ = false;
  auto waiters = std::move(commit_waiters_);
  commit_waiters_.clear();
  if (!merge_failing_) {
    log_event(
        LogLevel::kError, "log",
        {.what = fmt::format("Shard {}: moving data into segments failed; nothing is lost, and it is tried again "
                             "every second",
                             loop_.index()),
         .reason = error.message,
         .remedy = remedy_of(error, fmt::format("Free space or check the disk: produce requests are refused once {} MiB wait",
                                                options_.unmerged_bytes_max >> 20))});
  }
  merge_failing_ = true;
  merge_retry_ = loop_.schedule_after(runtime::kSecond, [this] {
    merge_retry_ = {};
    maybe_merge();
  });
  const Result<void> failure = std::unexpected(error);
  for (auto& waiter : waiters) waiter(failure);
  finish_merge_all(failure);
  retry_held_appends();
  report_pressure();
  advance_releases();  // what was asked for is asked for again
}

// The merge is over once all of it is adopted: until then the tail has everything.
void LogShard::adopt_slice(ChunkNumber up_to) {
  for (size_t work = 0; work < kPartitionsPerTurn && !adopting_.empty(); ++work) {
    PartitionManifest manifest = std::move(adopting_.back());
    adopting_.pop_back();
    Partition* const partition = find(manifest.partition);
    if (!partition) continue;  // deleted meanwhile
    // Others may have expired while the merge ran.
    auto& expired = partition->expired_producers_;
    expired.erase(expired.begin(), expired.begin() + static_cast<ptrdiff_t>(partition->expiring_producers_));
    partition->expiring_producers_ = 0;
    adopt_manifest(std::move(manifest));
    const bool clean = !partition->unmerged() && expired.empty() && partition->pending_log_start_ <= partition->log_start_offset_;
    if (clean) unlist(dirty_, &Partition::dirty_place_, *partition);
  }
  if (adopting_.empty()) return merge_adopted(up_to);
  loop_.post([this, alive = alive_, up_to] {
    if (*alive) adopt_slice(up_to);
  });
}

void LogShard::merge_adopted(ChunkNumber up_to) {
  for (auto& task : std::exchange(after_adoption_, {})) task();
  merging_ = false;
  auto waiters = std::move(commit_waiters_);
  commit_waiters_.clear();
  if (up_to > 0) {
    merged_ = up_to;
    wal_->release(up_to);
  }
  evict_tail();
  for (auto& waiter : waiters) waiter({});
  if (merge_everything_ && up_to >= wal_->durable() && acks_.empty()) finish_merge_all({});
  retry_held_appends();
  report_pressure();
  advance_releases();
  maybe_merge();
}

// What the store completed after a merge waits until that merge is adopted, or an older manifest would take the place of a
// newer one.
void LogShard::in_store_order(runtime::Task task) {
  if (adopting_.empty()) return task();
  after_adoption_.push_back(std::move(task));
}

void LogShard::merge_all(Function<void(Result<void>)> done) {
  merge_waiters_.push_back(std::move(done));
  if (wal_->ended()) return finish_merge_all(fail(weir::ErrorCode::kIo, "the log is offline"));
  merge_everything_ = true;
  report_pressure();
  quiesce([this, alive = alive_] {
    if (*alive) maybe_merge();
  });
}

void LogShard::finish_merge_all(const Result<void>& result) {
  if (merge_waiters_.empty()) return;
  merge_everything_ = false;
  auto waiters = std::move(merge_waiters_);
  merge_waiters_.clear();
  for (auto& waiter : waiters) waiter(result);
}

void LogShard::delete_records(Partition& partition, int64_t offset, Function<void(Result<int64_t>)> done) {
  const int64_t target = offset == -1 ? partition.high_watermark_ : offset;
  if (target < 0 || target > partition.high_watermark_) {
    return done(fail(weir::ErrorCode::kInvalid, "offset is past the high watermark"));
  }
  if (wal_->ended() || partition.offline()) return done(fail(weir::ErrorCode::kIo, "the log is offline"));
  if (partition.releasing_) return done(fail(weir::ErrorCode::kClosed, "the partition goes to another owner"));
  if (target <= partition.log_start_offset_) return done(partition.log_start_offset_);
  partition.pending_log_start_ = std::max(partition.pending_log_start_, target);
  mark_dirty(partition);
  next_commit_waiters_.push_back([target, done = std::move(done)](const Result<void>& result) mutable {
    if (result) return done(target);
    done(std::unexpected(result.error()));
  });
  report_pressure();
  maybe_merge();
}

// --- retention ------------------------------------------------------------------------------------------------------

// As Kafka's UnifiedLog.deleteOldSegments: the oldest segments go, first for the log's size, then for their time, and none that
// is not all durable. The active one may be among them.
int64_t LogShard::expired_before(const Partition& partition, int64_t now_ms) const {
  const LogConfig& config = partition.config_;
  int64_t start = partition.log_start_offset_;
  if (!config.cleanup_delete) return start;
  uint64_t size = partition.size_bytes();
  bool too_large = config.retention_bytes >= 0;
  partition.for_each_segment([&](const SegmentInfo& segment) {
    if (segment.next_offset > partition.high_watermark_) return false;
    too_large = too_large && size - segment.length >= static_cast<uint64_t>(config.retention_bytes);
    if (too_large) {
      size -= segment.length;
    } else if (config.retention_ms < 0 || !segment.has_age() ||
               ms_between(segment.largest_timestamp(), now_ms) <= config.retention_ms) {
      return false;
    }
    start = std::max(start, segment.next_offset);
    return true;
  });
  return start;
}

bool LogShard::retain(Partition& partition, int64_t now_ms) {
  bool changed = false;
  if (const int64_t start = expired_before(partition, now_ms); start > partition.pending_log_start_) {
    log_info("log", "Partition {}: retention moves the log start from {} to {}", text_of(partition.id_),
             partition.log_start_offset_, start);
    partition.pending_log_start_ = start;
    changed = true;
  }
  if (changed) mark_dirty(partition);
  return changed;
}

void LogShard::run_retention() {
  Buffer::trim();  // memory kept after a burst goes back now and then
  if (wal_->ended() || std::exchange(retaining_, true)) return;
  constexpr size_t kExpiredAsOneLook = 16;
  auto changed = std::make_shared<bool>(false), more = std::make_shared<bool>(false);
  const auto visit = [this, changed, more, now_ms = runtime_.clock->wall_ms()](Partition& partition) {
    if (partition.offline() || partition.releasing_) return size_t{0};
    const size_t expired = partition.expire_producers(now_ms - options_.producer_id_expiration_ms);
    producers_forgotten(partition, expired);
    if (expired == ProducerState::kExpiredAtOnce) *more = true;
    if (retain(partition, now_ms) || expired > 0) *changed = true;
    return expired / kExpiredAsOneLook;
  };
  walk(visit, [this, changed, more] {
    retaining_ = false;
    if (*more)
      loop_.post([this, alive = alive_] {
        if (*alive) run_retention();
      });
    if (!*changed) return;
    early_merges_ = true;
    maybe_merge();
  });
}

void LogShard::schedule_retention() {
  const int64_t interval_ms = std::min(options_.retention_check_interval_ms, kLongestDelayMs);
  retention_timer_ = loop_.schedule_after(interval_ms * runtime::kMillisecond, [this] {
    run_retention();
    schedule_retention();
  });
}

}  // namespace weir::storage
