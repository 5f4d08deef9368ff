// LogShard: the shard's part in compaction. LogCleaner decides what is cleaned when; the shard says what could be, and puts
// the outcome in place.
#include <algorithm>
#include <iterator>

#include "storage/compaction/partition_cleaning.h"
#include "storage/log/log_shard.h"
#include "storage/log/turns.h"

namespace weir::storage {

namespace {

CompactionRules rules_of(const LogConfig& config) {
  return {config.min_cleanable_dirty_ratio, config.min_compaction_lag_ms, config.max_compaction_lag_ms};
}

ActiveProducers active_producers(const ProducerState& producers) {
  ActiveProducers active;
  for (const ProducerEntry& entry : producers.entries()) {
    active[entry.producer_id] = {entry.batches.empty() ? -1 : entry.batches.back().last_offset, entry.producer_epoch};
  }
  return active;
}

}  // namespace

void LogShard::find_cleanable(Function<void(std::vector<Cleanable>)> done) {
  if (wal_->ended()) return done({});
  auto early = std::make_shared<bool>(false);
  const auto visit = [early](Partition& partition) {
    if (!partition.config().cleanup_compact || partition.offline() || partition.of_shard.releasing) return size_t{0};
    // A busy shard's log files are checkpointed soon enough anyway; the records of a slow compacted topic are checkpointed as
    // soon as a segment of them is complete, or they would never be compacted.
    if (partition.rolled()) partition.of_shard.checkpoint_early = *early = true;
    return size_t{0};
  };
  walk(visit, [this, early, done = std::move(done)]() mutable {
    if (*early) checkpointer_.make_early();
    if (!checkpointer_.early()) return list_cleanable(std::move(done));
    // A checkpoint that fails is tried again; the cleaner makes do with what there is.
    checkpointer_.when_committed(
        [this, done = std::move(done)](const Result<void>&) mutable { list_cleanable(std::move(done)); });
    checkpointer_.look();
  });
}

void LogShard::list_cleanable(Function<void(std::vector<Cleanable>)> done) {
  auto cleanable = std::make_shared<std::vector<Cleanable>>();
  const auto visit = [cleanable, now_ms = runtime_.clock->wall_ms()](Partition& partition) {
    if (!partition.config().cleanup_compact || partition.offline() || partition.of_shard.releasing) return size_t{0};
    if (partition.manifest().segments.size() < 2) return size_t{0};  // the last one is active
    const CompactionRules rules = rules_of(partition.config());
    Cleanable one{partition.id(), clean_range(partition.manifest(), partition.last_stable_offset(), rules, now_ms), false};
    one.due = one.range.due(rules);
    if (one.range.clean_bytes + one.range.cleanable_bytes > 0) cleanable->push_back(one);
    return size_t{0};
  };
  walk(visit, [cleanable, done = std::move(done)]() mutable { done(std::move(*cleanable)); });
}

std::unique_ptr<CleaningInput> LogShard::begin_cleaning(const PartitionId& id) {
  Partition* partition = find(id);
  if (!partition || partition->offline() || partition->of_shard.releasing || !partition->config().cleanup_compact) return nullptr;
  auto input = std::make_unique<CleaningInput>();
  input->now_ms = runtime_.clock->wall_ms();
  input->manifest = partition->manifest();
  std::ranges::copy_if(partition->state().aborted(), std::back_inserter(input->aborted),
                       [&](const AbortedTransaction& one) { return one.last_offset >= input->manifest.end_offset; });
  input->range =
      clean_range(partition->manifest(), partition->last_stable_offset(), rules_of(partition->config()), input->now_ms);
  if (input->range.cleanable_bytes == 0) return nullptr;
  input->active_producers = active_producers(partition->producers());
  input->high_watermark = partition->high_watermark();
  input->delete_retention_ms = partition->config().delete_retention_ms;
  input->segment_bytes = partition->config().segment_bytes;
  input->file_delete_delay_ms = file_delete_delay_ms(*partition);
  return input;
}

void LogShard::finish_cleaning(SegmentReplacement outcome, Function<void(Result<void>)> done) {
  Partition* partition = find(outcome.partition);
  // With another cleanup policy by now, what was old may be wanted.
  if (!partition || partition->offline() || !partition->config().cleanup_compact) {
    store_.discard(outcome, loop_);
    return done(fail(weir::ErrorCode::kNotFound, "the partition is gone or not compacted any more"));
  }
  const auto then = [this](const SegmentReplacement& cleaned) {
    forget_tail(cleaned.partition, cleaned.first_dirty_offset);
    // Begun before the partition went elsewhere.
    if (in_several_directories() && moving_.insert(cleaned.partition).second && move_watcher_) move_watcher_();
  };
  replace_segments(std::move(outcome), then, std::move(done));
}

void LogShard::replace_segments(SegmentReplacement outcome, Function<void(const SegmentReplacement&)> then,
                                Function<void(Result<void>)> done) {
  Partition* const partition = find(outcome.partition);
  if (!partition || partition->of_shard.releasing) {  // another owner may have changed the manifest since
    store_.discard(outcome, loop_);
    return done(fail(weir::ErrorCode::kNotFound, "the partition is gone"));
  }
  ++partition->of_shard.store_changes;
  auto kept = std::make_shared<SegmentReplacement>(outcome);
  store_.replace(std::move(outcome), loop_,
                 [this, alive = lifetime_.observe(), kept, then = std::move(then),
                  done = std::move(done)](Result<PartitionManifest> manifest) mutable {
                   if (!alive) return;
                   if (!manifest) {
                     store_.discard(*kept, loop_);
                     store_changed(kept->partition);
                     return done(std::unexpected(std::move(manifest.error())));
                   }
                   checkpointer_.in_store_order(
                       [this, kept, manifest = std::move(*manifest), then = std::move(then), done = std::move(done)]() mutable {
                         checkpointer_.adopt(std::move(manifest));
                         then(*kept);
                         done({});
                         store_changed(kept->partition);
                       });
                 });
}

void LogShard::store_changed(const PartitionId& id) {
  Partition* const partition = find(id);
  if (partition && partition->of_shard.store_changes > 0) --partition->of_shard.store_changes;
  advance_releases();
}

// What was cleaned is read from its segments from now on, or consumers would get from memory what compaction took away.
void LogShard::forget_tail(const PartitionId& id, int64_t offset) {
  Partition* const partition = find(id);
  if (!partition) return;
  if (!tail_cache_.forget(*partition, offset, kBatchesPerTurn)) return;
  loop_.post([this, alive = lifetime_.observe(), id, offset] {
    if (alive) forget_tail(id, offset);
  });
}

}  // namespace weir::storage
