#include "storage/log/log_checkpointer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "storage/log/turns.h"

namespace weir::storage {

void LogCheckpointer::dropped(Partition& partition) {
  dirty_.remove(partition);
  if (!plan_) return;
  plan_->dropped = true;
  if (plan_->partition == &partition) plan_->building.reset();
}

void LogCheckpointer::look() {
  if (checkpointing_ || retry_ || wal_.ended()) return;
  // A WAL file is checkpointed once the next one has begun: large runs for busy partitions, and the dirty tail stays small.
  ChunkNumber up_to = wal_.last_chunk_of_oldest_file();
  if (up_to > wal_.durable() || up_to <= checkpointed_) up_to = 0;     // on its way, or kept though nobody needs it
  const bool everything = everything_ && !shard_.awaits_durability();  // otherwise once the flush under way is done
  if (everything) up_to = wal_.durable();
  if (up_to == 0 && next_waiters_.empty() && !everything && !early_) return;
  start(up_to);
}

void LogCheckpointer::start(ChunkNumber up_to) {
  checkpointing_ = true;
  early_ = false;
  started_ns_ = runtime_.clock->monotonic_ns();
  waiters_ = std::exchange(next_waiters_, {});
  ++number_;
  plan_.emplace(Planning{});  // its own default constructor is not known where plan_ is declared
  plan_->up_to = up_to;
  plan_->left = dirty_.size();
  plan_slice();
}

// Walks downwards. planned_checkpoint tells the partitions that it has asked. A partition that comes to the list meanwhile has
// nothing for this checkpoint.
void LogCheckpointer::plan_slice() {
  Planning& plan = *plan_;
  for (size_t work = 0; work < kBatchesPerTurn;) {
    if (plan.building) {
      const size_t added = plan.building->add(kBatchesPerTurn - work);
      work += added + kBatchesPerTurn / kPartitionsPerTurn;
      if (added == 0) end_planning_of(*plan.partition);
      continue;
    }
    plan.left = std::min(plan.left, dirty_.size());
    if (plan.left == 0) return planned();
    Partition& partition = dirty_[--plan.left];
    if (std::exchange(partition.of_shard.planned_checkpoint, number_) == number_) continue;
    const bool early = std::exchange(partition.of_shard.checkpoint_early, false);
    plan.partition = &partition;
    plan.building.emplace(partition, early ? std::max(plan.up_to, wal_.durable()) : plan.up_to);
    partition.begin_checkpoint();
  }
  loop_.post([this, alive = lifetime_.observe()] {
    if (alive) plan_slice();
  });
}

void LogCheckpointer::end_planning_of(Partition& partition) {
  CheckpointPartition input = plan_->building->take();
  plan_->building.reset();
  const bool changed = input.log_start_offset != partition.manifest().log_start_offset || !input.expired_producers.empty();
  if (!input.batches.empty() || changed) plan_->input.push_back(std::move(input));
  else if (!partition.has_dirty_batches() && partition.expired_producers().empty()) dirty_.remove(partition);
}

void LogCheckpointer::planned() {
  const ChunkNumber up_to = plan_->up_to;
  std::vector<CheckpointPartition> input = std::move(plan_->input);
  if (plan_->dropped) std::erase_if(input, [this](const CheckpointPartition& one) { return !shard_.find(one.partition); });
  plan_.reset();
  if (input.empty()) return completed(up_to, std::vector<PartitionManifest>{});
  store_.checkpoint(std::move(input), loop_,
                    [this, alive = lifetime_.observe(), up_to](Result<std::vector<PartitionManifest>> result) {
                      if (alive) completed(up_to, std::move(result));
                    });
}

void LogCheckpointer::completed(ChunkNumber up_to, Result<std::vector<PartitionManifest>> result) {
  totals_.add(runtime_.clock->monotonic_ns() - started_ns_, result.has_value());
  if (!result) return failed(result.error());
  if (failing_) log_info("log", "Shard {}: moving data into segments works again", loop_.index());
  failing_ = false;
  adopting_ = std::move(*result);
  adopt_slice(up_to);
}

void LogCheckpointer::failed(const Error& error) {
  checkpointing_ = false;
  auto waiters = std::exchange(waiters_, {});
  if (!failing_) {
    log_event(
        LogLevel::kError, "log",
        {.what = fmt::format("Shard {}: moving data into segments failed; nothing is lost, and it is tried again "
                             "every second",
                             loop_.index()),
         .reason = error.message,
         .remedy = remedy_of(error, fmt::format("Free space or check the disk: produce requests are refused once {} MiB wait",
                                                dirty_bytes_max_ >> 20))});
  }
  failing_ = true;
  retry_ = loop_.schedule_after(runtime::kSecond, [this, alive = lifetime_.observe()] {
    if (!alive) return;
    retry_ = {};
    look();
  });
  const Result<void> failure = std::unexpected(error);
  for (auto& waiter : waiters) waiter(failure);
  finish_checkpoint_all(failure);
  shard_.checkpoint_ended();
}

void LogCheckpointer::adopt(PartitionManifest manifest) {
  Partition* partition = shard_.find(manifest.partition);
  if (!partition) return;  // deleted meanwhile
  if (partition->adopt(std::move(manifest))) shard_.log_start_moved(*partition);
}

// The checkpoint is over once all of it is adopted: until then the tail has everything.
void LogCheckpointer::adopt_slice(ChunkNumber up_to) {
  for (size_t work = 0; work < kPartitionsPerTurn && !adopting_.empty(); ++work) {
    PartitionManifest manifest = std::move(adopting_.back());
    adopting_.pop_back();
    Partition* const partition = shard_.find(manifest.partition);
    if (!partition) continue;  // deleted meanwhile
    partition->end_checkpoint();
    adopt(std::move(manifest));
    if (!partition->has_dirty_batches() && !partition->changes_manifest()) dirty_.remove(*partition);
  }
  if (adopting_.empty()) return adopted(up_to);
  loop_.post([this, alive = lifetime_.observe(), up_to] {
    if (alive) adopt_slice(up_to);
  });
}

void LogCheckpointer::adopted(ChunkNumber up_to) {
  for (auto& task : std::exchange(after_adoption_, {})) task();
  checkpointing_ = false;
  auto waiters = std::exchange(waiters_, {});
  if (up_to > 0) {
    checkpointed_ = up_to;
    wal_.release(up_to);
  }
  shard_.checkpointed();
  for (auto& waiter : waiters) waiter({});
  if (everything_ && up_to >= wal_.durable() && !shard_.awaits_durability()) finish_checkpoint_all({});
  shard_.checkpoint_ended();
  look();
}

void LogCheckpointer::in_store_order(runtime::Task task) {
  if (adopting_.empty()) return task();
  after_adoption_.push_back(std::move(task));
}

void LogCheckpointer::checkpoint_all(Waiter done) {
  all_waiters_.push_back(std::move(done));
  everything_ = true;
}

void LogCheckpointer::finish_checkpoint_all(const Result<void>& result) {
  if (all_waiters_.empty()) return;
  everything_ = false;
  for (auto& waiter : std::exchange(all_waiters_, {})) waiter(result);
}

void LogCheckpointer::fail(const Result<void>& failure) {
  for (auto& waiter : std::exchange(next_waiters_, {})) waiter(failure);
  finish_checkpoint_all(failure);
}

}  // namespace weir::storage
