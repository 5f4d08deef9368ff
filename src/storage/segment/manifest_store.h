// Keeps the manifests of all partitions: their segments, their checkpointed ends and their producers. A manifest is the truth:
// files and bytes that it does not name do not exist.
//
// A checkpoint writes the data of many partitions, makes all of it durable, then commits all manifests and producer rows at once.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/buffer.h"
#include "base/function.h"
#include "base/result.h"
#include "runtime/loop.h"
#include "storage/segment/manifest.h"

namespace weir::storage {

// The new state of one partition in a checkpoint cycle.
struct CheckpointPartition {
  PartitionId partition;
  struct Batch {
    BatchInfo info;
    Slice bytes;
  };
  std::vector<Batch> batches;      // contiguous from the manifest's end_offset; may be empty (manifest change only)
  int64_t log_start_offset = 0;    // new log start (never goes back); segments wholly below it are dropped
  std::vector<EpochStart> epochs;  // complete history as of the new recovery point
  // The producers of `batches`, as of the new recovery point. Their rows are written whole, after the expired ones are deleted.
  std::vector<ProducerEntry> producers;
  std::vector<int64_t> expired_producers;   // their rows are deleted
  std::vector<AbortedTransaction> aborted;  // their markers are in `batches`, in this order
  // Limits that decide when the active segment is rolled.
  uint64_t segment_bytes = 1ull << 30;
  int64_t segment_ms = 7ll * 24 * 3600 * 1000;
};

// New segments that compaction wrote or a move copied, and the old ones that they replace.
struct SegmentReplacement {
  struct Group {
    std::vector<SegmentInfo> sources;  // adjacent in the manifest
    std::vector<SegmentInfo> outputs;  // complete and synced; fewer, or none
  };
  PartitionId partition;
  std::vector<Group> groups;
  int64_t first_dirty_offset = 0;
  int64_t file_delete_delay_ms = 60'000;  // the files of the sources stay so long for their readers
  // A copy counts only while its source is as it was, and the partition still goes to the copy's directory.
  bool move = false;
};

struct LoadedPartition {
  PartitionManifest manifest;
  std::vector<ProducerEntry> producers;
  // A partition without a row has a folder that a checkpoint without a commit, or a drop, has left.
  bool has_row = true;
  bool has_files = false;  // in a folder without a row that does not wait for its removal

  bool empty() const { return has_row ? manifest.segments.empty() && manifest.end_offset == 0 : !has_files; }
};

// True if a deletion of the partition is noted durably. Nothing else counts as one.
using PartitionDeleted = std::function<bool(const PartitionId&)>;

// Asynchronous calls complete on `reply_to`. Calls that change a partition complete in order. Only the owning shard changes the
// manifest of a partition, and it has one checkpoint at a time.
class ManifestStore {
 public:
  virtual ~ManifestStore() = default;

  // Returns every partition with a manifest row or with files. Files without a row go if their partition was deleted; others
  // stay. Blocking, at the start, before anything else.
  virtual Result<std::vector<LoadedPartition>> load(const PartitionDeleted& deleted = {}) = 0;
  // Makes sure that removed files are gone after a power cut. Blocking, at the start.
  virtual Result<void> sync_removals() { return {}; }

  // Writes and commits. `done` gets the new manifests in the order of `partitions`. After an error no manifest has changed, so
  // the caller reloads nothing. The files may hold garbage past their valid length then.
  virtual void checkpoint(std::vector<CheckpointPartition> partitions, runtime::Executor& reply_to,
                          Function<void(Result<std::vector<PartitionManifest>>)> done) = 0;
  // The same, blocking, at the start.
  virtual Result<std::vector<PartitionManifest>> checkpoint_now(const std::vector<CheckpointPartition>& partitions) = 0;

  // Forgets the partition durably; its segments go after `delay_ms` (file.delete.delay.ms).
  virtual void drop(const PartitionId& partition, int64_t delay_ms, runtime::Executor& reply_to,
                    Function<void(Result<void>)> done) = 0;

  // A rewrite reserves a generation with begin_rewrite, reads segments and writes new ones (SegmentData), and replaces the old
  // ones at once. The reservation is durable, so no two rewrites use one name. Blocking, on any thread of the pool.
  virtual Result<uint32_t> begin_rewrite(const PartitionId& partition) = 0;
  // Leaves out groups whose sources are gone meanwhile, and removes their outputs. A moved log start and a dropped partition take
  // sources. `done` gets the new manifest, or kNotFound if the partition is gone.
  virtual void replace(SegmentReplacement replacement, runtime::Executor& reply_to,
                       Function<void(Result<PartitionManifest>)> done) = 0;
  // Removes outputs that will not be used, as far as that works.
  virtual void discard(const SegmentReplacement& replacement, runtime::Executor& reply_to) = 0;

  // Background work that waits for time to pass, such as removing the segments of dropped partitions. Call it
  // every few seconds from one place.
  virtual void maintain(runtime::Executor& reply_to, Function<void()> done) { reply_to.post(std::move(done)); }
};

}  // namespace weir::storage
