// LogShard: moving the tail into segments, and what else changes manifests (DeleteRecords, retention, expiry).
#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "storage/log/log_shard.h"

namespace weir::storage {

void LogShard::mark_dirty(Partition& partition) {
  if (partition.dirty_listed_) return;
  partition.dirty_listed_ = true;
  dirty_.push_back(&partition);
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
  if (merging_ || merge_retry_ || wal_->failed()) return;
  // A WAL file is merged once the next one has begun: large runs for busy partitions, and the dirty tail stays small.
  ChunkNumber up_to = wal_->last_chunk_of_oldest_file();
  if (up_to > wal_->durable() || up_to <= merged_) up_to = 0;  // on its way, or kept though nobody needs it
  const bool everything = merge_everything_ && acks_.empty();  // otherwise once the flush under way is done
  if (everything) up_to = wal_->durable();
  if (up_to == 0 && next_commit_waiters_.empty() && !everything && !early_merges_) return;
  start_merge(up_to);
}

MergePartition merge_input_of(const Partition& partition, ChunkNumber up_to) {
  MergePartition input;
  input.partition = partition.id_;
  input.log_start_offset = partition.pending_log_start_;
  input.segment_bytes = partition.config_.segment_bytes;
  input.segment_ms = partition.config_.roll_ms();
  input.expired_producers = partition.expired_producers_;
  // The producers as of the new floor, not as of now: rebuilt from the batches below it; the store completes the window
  // of five from its previous row. State ahead of the floor would refuse what recovery replays. Batches that were
  // deleted before they were merged count as well: nobody sees them again, yet a resend of them is a duplicate.
  int64_t floor = partition.manifest_.end_offset;
  ProducerState as_of_floor;
  for (size_t i = partition.tail_index(floor); i < partition.tail_.size(); ++i) {
    const TailBatch& batch = partition.tail_[i];
    const bool merged = batch.chunk <= up_to;
    if (!merged && batch.facts.last_offset() >= partition.pending_log_start_) break;
    if (merged) input.batches.push_back({batch.facts, batch.bytes});
    floor = batch.facts.next_offset();
    if (batch.facts.producer_id == kNoProducerId) continue;
    const ProducerEntry* current = partition.producers_.find(batch.facts.producer_id);
    as_of_floor.update(batch.facts, current ? current->last_timestamp : batch.facts.max_timestamp);
  }
  for (const EpochStart& epoch : partition.epochs_) {
    if (epoch.start_offset < floor) input.epochs.push_back(epoch);
  }
  for (const auto& [id, entry] : as_of_floor.entries()) input.producers.push_back(entry);
  std::sort(input.producers.begin(), input.producers.end(),
            [](const ProducerEntry& x, const ProducerEntry& y) { return x.producer_id < y.producer_id; });
  return input;
}

void LogShard::start_merge(ChunkNumber up_to) {
  std::vector<MergePartition> input;
  for (Partition* partition : dirty_) {
    MergePartition one = merge_input_of(*partition, partition->merge_early_ ? std::max(up_to, wal_->durable()) : up_to);
    partition->merge_early_ = false;
    const bool changed = one.log_start_offset != partition->manifest_.log_start_offset || !one.expired_producers.empty();
    partition->expiring_producers_ = one.expired_producers.size();
    if (!one.batches.empty() || changed) input.push_back(std::move(one));
  }
  merging_ = true;
  early_merges_ = false;
  merge_started_ns_ = runtime_.clock->monotonic_ns();
  commit_waiters_ = std::move(next_commit_waiters_);
  next_commit_waiters_.clear();
  if (input.empty()) return merge_done(up_to, std::vector<PartitionManifest>{});
  store_.merge(std::move(input), loop_, [this, alive = alive_, up_to](Result<std::vector<PartitionManifest>> result) {
    if (*alive) merge_done(up_to, std::move(result));
  });
}

void LogShard::adopt_manifest(PartitionManifest manifest) {
  Partition* partition = find(manifest.partition);
  if (!partition) return;  // deleted meanwhile
  for (size_t i = partition->tail_index(partition->manifest_.end_offset); i < partition->tail_.size(); ++i) {
    if (partition->tail_[i].facts.base_offset >= manifest.end_offset) break;
    partition->unmerged_bytes_ -= partition->tail_[i].facts.size;
  }
  partition->manifest_ = std::move(manifest);
  if (partition->manifest_.log_start_offset > partition->log_start_offset_) {
    partition->log_start_offset_ = partition->manifest_.log_start_offset;
    // Epochs that ended before the log start are history nobody can ask about; keep the one that covers it.
    auto& epochs = partition->epochs_;
    while (epochs.size() > 1 && epochs[1].start_offset <= partition->log_start_offset_) epochs.erase(epochs.begin());
    wake(*partition);
  }
}

void LogShard::merge_done(ChunkNumber up_to, Result<std::vector<PartitionManifest>> result) {
  merging_ = false;
  merge_totals_.add(runtime_.clock->monotonic_ns() - merge_started_ns_, result.has_value());
  auto waiters = std::move(commit_waiters_);
  commit_waiters_.clear();
  if (!result) {
    if (!merge_failing_) {
      log_event(LogLevel::kError, "log",
                {.what = fmt::format("Shard {}: moving data into segments failed; nothing is lost, and it is tried again "
                                     "every second",
                                     loop_.index()),
                 .reason = result.error().message,
                 .remedy = remedy_of(result.error(),
                                     fmt::format("Free space or check the disk: produce requests are refused once {} MiB wait",
                                                 options_.unmerged_bytes_max >> 20))});
    }
    merge_failing_ = true;
    merge_retry_ = loop_.schedule_after(runtime::kSecond, [this] {
      merge_retry_ = {};
      maybe_merge();
    });
    const Result<void> failure = std::unexpected(result.error());
    for (auto& waiter : waiters) waiter(failure);
    finish_merge_all(failure);
    retry_held_appends();
    report_pressure();
    return;
  }
  if (merge_failing_) log_info("log", "Shard {}: moving data into segments works again", loop_.index());
  merge_failing_ = false;
  for (PartitionManifest& manifest : *result) {
    // Others may have expired while the merge ran.
    if (Partition* partition = find(manifest.partition)) {
      auto& expired = partition->expired_producers_;
      expired.erase(expired.begin(), expired.begin() + static_cast<ptrdiff_t>(partition->expiring_producers_));
      partition->expiring_producers_ = 0;
    }
    adopt_manifest(std::move(manifest));
  }
  std::erase_if(dirty_, [](Partition* partition) {
    const bool clean = partition->unmerged_bytes_ == 0 && partition->expired_producers_.empty() &&
                       partition->pending_log_start_ <= partition->log_start_offset_;
    if (clean) partition->dirty_listed_ = false;
    return clean;
  });
  if (up_to > 0) {
    merged_ = up_to;
    wal_->release(up_to);
  }
  evict_tail();
  for (auto& waiter : waiters) waiter({});
  if (merge_everything_ && up_to >= wal_->durable() && acks_.empty()) finish_merge_all({});
  retry_held_appends();
  report_pressure();
  maybe_merge();
}

void LogShard::merge_all(Function<void(Result<void>)> done) {
  merge_waiters_.push_back(std::move(done));
  if (wal_->failed()) return finish_merge_all(fail(weir::ErrorCode::kIo, "the log is offline"));
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
  if (wal_->failed() || partition.offline()) return done(fail(weir::ErrorCode::kIo, "the log is offline"));
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

int64_t LogShard::expired_before(const Partition& partition, int64_t now_ms) const {
  const LogConfig& config = partition.config_;
  int64_t start = partition.log_start_offset_;
  if (!config.cleanup_delete) return start;
  const auto& segments = partition.manifest_.segments;
  if (config.retention_ms >= 0) {
    const int64_t oldest_kept = now_ms - config.retention_ms;
    bool all = true;
    for (const SegmentInfo& segment : segments) {
      if (!segment.times_known || segment.largest_timestamp() >= oldest_kept) {
        all = false;
        break;
      }
      start = std::max(start, segment.next_offset);
    }
    // The active segment goes on in the tail: it goes as a whole, and only if all of it is durable.
    for (size_t i = partition.tail_index(partition.manifest_.end_offset); all && i < partition.tail_.size(); ++i) {
      all = partition.tail_[i].facts.largest_timestamp() < oldest_kept;
    }
    if (all && partition.log_end_offset_ == partition.high_watermark_) {
      start = std::max(start, partition.high_watermark_);
    } else if (!all || partition.unmerged_bytes_ > 0) {
      // Part of the active segment is still wanted: keep all of it.
      if (!segments.empty() && start >= segments.back().next_offset) {
        start = std::max(partition.log_start_offset_, segments.back().base_offset);
      }
    }
  }
  if (config.retention_bytes >= 0) {
    uint64_t total = partition.size_bytes();
    for (size_t i = 0; i + 1 < segments.size(); ++i) {
      if (total - segments[i].length < static_cast<uint64_t>(config.retention_bytes)) break;
      total -= segments[i].length;
      start = std::max(start, segments[i].next_offset);
    }
  }
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
  const auto expired = partition.producers_.expire(now_ms - options_.producer_id_expiration_ms);
  partition.expired_producers_.insert(partition.expired_producers_.end(), expired.begin(), expired.end());
  changed |= !expired.empty();
  if (changed) mark_dirty(partition);
  return changed;
}

void LogShard::run_retention() {
  Buffer::trim();  // memory kept after a burst goes back now and then
  if (wal_->failed()) return;
  const int64_t now_ms = runtime_.clock->wall_ms();
  bool changed = false;
  for (auto& [id, partition] : partitions_) {
    if (!partition->offline()) changed |= retain(*partition, now_ms);
  }
  if (!changed) return;
  early_merges_ = true;
  maybe_merge();
}

void LogShard::schedule_retention() {
  retention_timer_ = loop_.schedule_after(options_.retention_check_interval_ms * runtime::kMillisecond, [this] {
    run_retention();
    schedule_retention();
  });
}

}  // namespace weir::storage
