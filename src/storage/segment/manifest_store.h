// The manifests of all partitions: which segments there are, where each partition's checkpointed end is, and what its producers
// did. A manifest is the truth: what it does not name does not exist.
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
  // Rows that are written after others are deleted: the producers of `batches`, whole, as of the new recovery point.
  std::vector<ProducerEntry> producers;
  std::vector<int64_t> expired_producers;   // whose rows are deleted
  std::vector<AbortedTransaction> aborted;  // whose markers are in `batches`, in their order
  // Limits that decide when the active segment is rolled.
  uint64_t segment_bytes = 1ull << 30;
  int64_t segment_ms = 7ll * 24 * 3600 * 1000;
};

// Segments that compaction wrote or a move copied, and those they take the place of.
struct SegmentReplacement {
  struct Group {
    std::vector<SegmentInfo> sources;  // adjacent in the manifest they came from
    std::vector<SegmentInfo> outputs;  // complete and synced; fewer, or none
  };
  PartitionId partition;
  std::vector<Group> groups;
  int64_t first_dirty_offset = 0;
  int64_t file_delete_delay_ms = 60'000;  // the sources' files stay so long for readers that still use them
  // A copy counts only while its source is as it was, and the partition still goes to the copy's directory.
  bool move = false;
};

struct LoadedPartition {
  PartitionManifest manifest;
  std::vector<ProducerEntry> producers;
  // Without a row it is a folder: of a checkpoint that did not commit, or of a partition that was dropped.
  bool has_row = true;
  bool has_files = false;  // in a folder without a row that does not wait for its removal

  bool empty() const { return has_row ? manifest.segments.empty() && manifest.end_offset == 0 : !has_files; }
};

// True if a deletion of the partition is noted durably. Nothing else counts as one.
using PartitionDeleted = std::function<bool(const PartitionId&)>;

// Asynchronous calls complete on `reply_to`, those that change a partition in order. Manifests are changed by the owning shard
// only, one checkpoint at a time per shard.
class ManifestStore {
 public:
  virtual ~ManifestStore() = default;

  // Every partition with a manifest row or with files (blocking; at start, before anything else). Files without a row go
  // if their partition was deleted; others stay.
  virtual Result<std::vector<LoadedPartition>> load(const PartitionDeleted& deleted = {}) = 0;
  // What was removed is certainly gone (blocking, at start).
  virtual Result<void> sync_removals() { return {}; }

  // Writes and commits; answers the new manifests in the order of `partitions`. After an error the caller
  // reloads nothing: no manifest changed, the files may hold garbage past their valid length.
  virtual void checkpoint(std::vector<CheckpointPartition> partitions, runtime::Executor& reply_to,
                          Function<void(Result<std::vector<PartitionManifest>>)> done) = 0;
  // The same, blocking (start-up).
  virtual Result<std::vector<PartitionManifest>> checkpoint_now(const std::vector<CheckpointPartition>& partitions) = 0;

  // Forgets the partition durably; its segments go after `delay_ms` (file.delete.delay.ms).
  virtual void drop(const PartitionId& partition, int64_t delay_ms, runtime::Executor& reply_to,
                    Function<void(Result<void>)> done) = 0;

  // Compaction. A rewrite reserves a generation (durably, so that no two rewrites ever use one name; blocking, on any thread of
  // the pool), reads segments, writes new ones (SegmentData), then has them take the old ones' place at once.
  virtual Result<uint32_t> begin_rewrite(const PartitionId& partition) = 0;
  // Groups whose sources are gone meanwhile (log start, dropped partition) are left out and their outputs removed. Answers the
  // new manifest, kNotFound if the partition is gone.
  virtual void replace(SegmentReplacement replacement, runtime::Executor& reply_to,
                       Function<void(Result<PartitionManifest>)> done) = 0;
  // Removes outputs that will not be used (best effort).
  virtual void discard(const SegmentReplacement& replacement, runtime::Executor& reply_to) = 0;

  // Background work that waits for time to pass, such as removing the segments of dropped partitions. Call it
  // every few seconds from one place.
  virtual void maintain(runtime::Executor& reply_to, Function<void()> done) { reply_to.post(std::move(done)); }
};

}  // namespace weir::storage
