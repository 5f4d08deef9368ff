// Moves the tails of a shard's partitions into segments, and writes what else changes their manifests: moves of the log start,
// and producers that were forgotten. One merge at a time, of all that needs it, whenever a file of the write-ahead log is
// complete or somebody waits; the log is released once the merge is committed and adopted. Planning and adopting go in slices.
//
// A merge that fails changes nothing and is tried again every second.
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
#include "storage/log/merge_input.h"
#include "storage/log/partition.h"
#include "storage/log/partition_set.h"
#include "storage/segment/segment_store.h"
#include "storage/wal/wal.h"

namespace weir::storage {

// Merges since the start; for metrics.
struct MergeTotals {
  uint64_t merges = 0;
  uint64_t failures = 0;
  int64_t busy_ns = 0;  // from start to completion
  int64_t last_ns = 0;

  void add(int64_t duration_ns, bool succeeded) {
    ++merges;
    failures += succeeded ? 0 : 1;
    busy_ns += duration_ns;
    last_ns = duration_ns;
  }
};

class LogMerger {
 public:
  // The shard whose partitions are merged.
  class Shard {
   public:
    virtual Partition* find(const PartitionId& id) = 0;
    virtual bool awaits_durability() const = 0;  // some append does
    virtual void log_start_moved(Partition& partition) = 0;
    virtual void merged() = 0;       // the tails may be evicted
    virtual void merge_ended() = 0;  // or failed

   protected:
    ~Shard() = default;
  };
  using Waiter = Function<void(const Result<void>&)>;

  // `unmerged_bytes_max` is told if merges fail.
  LogMerger(runtime::Runtime& runtime, runtime::Loop& loop, WalBackend& wal, SegmentStore& store, Shard& shard,
            uint64_t unmerged_bytes_max)
      : runtime_(runtime), loop_(loop), wal_(wal), store_(store), shard_(shard), unmerged_bytes_max_(unmerged_bytes_max) {}
  ~LogMerger() { lifetime_.end(); }

  // The partition has something for the next merge.
  void changed(Partition& partition) { dirty_.add(partition); }
  // It is dropped: a merge under way must not bring it back.
  void dropped(Partition& partition);

  // Begins a merge if it is time for one.
  void look();
  // The next one does not wait for a complete file: some partition has merge_early, or its manifest is to change.
  void make_early() { early_ = true; }
  // Told of the end of the next merge that begins.
  void when_committed(Waiter waiter) { next_waiters_.push_back(std::move(waiter)); }
  // Merges everything that is durable by and by, until the log holds nothing unmerged.
  void merge_all(Waiter done);
  // No merge begins any more.
  void fail(const Result<void>& failure);

  // What the store completed after a merge waits until that merge is adopted, or an older manifest would take the place of a
  // newer one.
  void in_store_order(runtime::Task task);
  // A manifest that the store committed comes into force.
  void adopt(PartitionManifest manifest);

  bool early() const { return early_; }
  bool failing() const { return failing_; }  // the last one failed
  bool awaited() const { return everything_ || !waiters_.empty() || !next_waiters_.empty(); }
  const MergeTotals& totals() const { return totals_; }

 private:
  struct Planning {
    ChunkNumber up_to = 0;
    size_t left = 0;  // of dirty_
    std::vector<MergePartition> input;
    bool dropped = false;  // some partition of `input` is, so it must not come back
    Partition* partition = nullptr;
    std::optional<MergeInput> building;  // of `partition`
  };

  void start(ChunkNumber up_to);
  void plan_slice();
  void end_planning_of(Partition& partition);
  void planned();
  void completed(ChunkNumber up_to, Result<std::vector<PartitionManifest>> result);
  void failed(const Error& error);
  void adopt_slice(ChunkNumber up_to);
  void adopted(ChunkNumber up_to);
  void finish_merge_all(const Result<void>& result);

  runtime::Runtime& runtime_;
  runtime::Loop& loop_;
  WalBackend& wal_;
  SegmentStore& store_;
  Shard& shard_;
  const uint64_t unmerged_bytes_max_;
  PartitionSet dirty_{&Partition::ShardNotes::dirty_place};
  bool merging_ = false;
  uint64_t number_ = 0;
  std::optional<Planning> plan_;             // of a merge that begins
  std::vector<PartitionManifest> adopting_;  // of a merge that ends
  std::vector<runtime::Task> after_adoption_;
  ChunkNumber merged_ = 0;  // chunks up to this one are merged and released
  bool everything_ = false;
  bool early_ = false;
  bool failing_ = false;
  std::vector<Waiter> waiters_;       // of the merge under way
  std::vector<Waiter> next_waiters_;  // and of the one after it
  std::vector<Waiter> all_waiters_;   // merge_all
  runtime::TimerId retry_;
  MergeTotals totals_;
  int64_t started_ns_ = 0;
  // Completions of the segment store may come after this object is gone.
  Lifetime lifetime_;
};

}  // namespace weir::storage
