// Moves the tails of a shard's partitions into segments. Also writes other changes of manifests: moves of the log start, and
// forgotten producers.
//
// There is one checkpoint at a time, of all partitions that need it. It begins when a file of the write-ahead log is complete, or
// when somebody waits for it. The log is released once the checkpoint is committed and adopted. Planning and adopting go in
// slices. A checkpoint that fails changes nothing, and is tried again every second.
//
// Loop thread only. Waiters are called on the loop, possibly inline.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/function.h"
#include "base/lifetime.h"
#include "base/result.h"
#include "runtime/runtime.h"
#include "storage/log/checkpoint_input.h"
#include "storage/log/partition.h"
#include "storage/log/partition_set.h"
#include "storage/segment/segment_store.h"
#include "storage/wal/wal.h"

namespace weir::storage {

// Checkpoints since the start; for metrics.
struct CheckpointTotals {
  uint64_t checkpoints = 0;
  uint64_t failures = 0;
  int64_t busy_ns = 0;  // from start to completion
  int64_t last_ns = 0;

  void add(int64_t duration_ns, bool succeeded) {
    ++checkpoints;
    failures += succeeded ? 0 : 1;
    busy_ns += duration_ns;
    last_ns = duration_ns;
  }
};

class LogCheckpointer {
 public:
  // The checkpointer's view of its shard.
  class Shard {
   public:
    virtual Partition* find(const PartitionId& id) = 0;
    virtual bool awaits_durability() const = 0;  // an append waits for it
    virtual void log_start_moved(Partition& partition) = 0;
    virtual void checkpointed() = 0;      // the tails may be evicted
    virtual void checkpoint_ended() = 0;  // or has failed

   protected:
    ~Shard() = default;
  };
  using Waiter = Function<void(const Result<void>&)>;

  // `dirty_bytes_max`: for messages when checkpoints fail.
  LogCheckpointer(runtime::Runtime& runtime, runtime::Loop& loop, WalBackend& wal, SegmentStore& store, Shard& shard,
                  uint64_t dirty_bytes_max)
      : runtime_(runtime), loop_(loop), wal_(wal), store_(store), shard_(shard), dirty_bytes_max_(dirty_bytes_max) {}
  ~LogCheckpointer() { lifetime_.end(); }

  // The partition has something for the next checkpoint.
  void changed(Partition& partition) { dirty_.add(partition); }
  // The partition is dropped. A checkpoint under way must not bring it back.
  void dropped(Partition& partition);

  // Begins a checkpoint if it is time for one.
  void look();
  // The next checkpoint does not wait for a complete file, because a partition has checkpoint_early or a change of its manifest.
  void make_early() { early_ = true; }
  // `waiter` is called at the end of the next checkpoint that begins.
  void when_committed(Waiter waiter) { next_waiters_.push_back(std::move(waiter)); }
  // Checkpoints everything that is durable by and by, until the log holds nothing dirty.
  void checkpoint_all(Waiter done);
  // No checkpoint begins any more.
  void fail(const Result<void>& failure);

  // Runs `task`, a completion of the store, once all earlier checkpoints are adopted. Otherwise an older manifest could take the
  // place of a newer one.
  void in_store_order(runtime::Task task);
  // Puts a manifest into force that the store has committed.
  void adopt(PartitionManifest manifest);

  bool early() const { return early_; }
  bool failing() const { return failing_; }  // the last checkpoint failed
  bool awaited() const { return everything_ || !waiters_.empty() || !next_waiters_.empty(); }
  const CheckpointTotals& totals() const { return totals_; }

 private:
  struct Planning {
    ChunkNumber up_to = 0;
    size_t left = 0;  // of dirty_
    std::vector<CheckpointPartition> input;
    bool dropped = false;  // a partition of `input` was dropped and must not come back
    Partition* partition = nullptr;
    std::optional<CheckpointInput> building;  // of `partition`
  };

  void start(ChunkNumber up_to);
  void plan_slice();
  void end_planning_of(Partition& partition);
  void planned();
  void completed(ChunkNumber up_to, Result<std::vector<PartitionManifest>> result);
  void failed(const Error& error);
  void adopt_slice(ChunkNumber up_to);
  void adopted(ChunkNumber up_to);
  void finish_checkpoint_all(const Result<void>& result);

  runtime::Runtime& runtime_;
  runtime::Loop& loop_;
  WalBackend& wal_;
  SegmentStore& store_;
  Shard& shard_;
  const uint64_t dirty_bytes_max_;
  PartitionSet dirty_{&Partition::ShardNotes::dirty_place};
  bool checkpointing_ = false;
  uint64_t number_ = 0;
  std::optional<Planning> plan_;             // of a checkpoint that begins
  std::vector<PartitionManifest> adopting_;  // of a checkpoint that ends
  std::vector<runtime::Task> after_adoption_;
  ChunkNumber checkpointed_ = 0;  // chunks up to this one are checkpointed and released
  bool everything_ = false;
  bool early_ = false;
  bool failing_ = false;
  std::vector<Waiter> waiters_;       // of the checkpoint under way
  std::vector<Waiter> next_waiters_;  // and of the one after it
  std::vector<Waiter> all_waiters_;   // checkpoint_all
  runtime::TimerId retry_;
  CheckpointTotals totals_;
  int64_t started_ns_ = 0;
  // Completions of the segment store and the timer may come after this object is gone.
  Lifetime lifetime_;
};

}  // namespace weir::storage
