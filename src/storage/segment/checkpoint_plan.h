// Plans the checkpoint of one partition before anything is written. The plan says which batch goes to which segment, where
// segments are rolled and dropped, and how the manifest is afterwards. Segments roll by Kafka's rules. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "storage/segment/manifest_store.h"
#include "storage/segment/segment_index.h"

namespace weir::storage {

// A run of batches for one segment file.
struct SegmentWrite {
  int64_t base_offset = 0;  // of the segment
  uint64_t position = 0;    // its valid length before
  bool created = false;     // the file is new
  uint32_t generation = 0;  // of the file
  uint32_t directory = 0;   // of the file
  size_t first_batch = 0;   // into CheckpointPartition::batches
  size_t batch_count = 0;
  uint64_t bytes = 0;
  // The segment's aborted transactions: the number before, and the new ones in CheckpointPartition::aborted.
  uint32_t aborted_before = 0;
  size_t first_aborted = 0, aborted_count = 0;
};

// Index entries of a segment that are not written yet. They are written once enough of them wait, or the segment is complete.
struct PendingIndex {
  int64_t base_offset = -1;  // of the segment; -1: none
  std::vector<IndexEntry> entries;
  uint64_t last_position = 0;  // of the last entry, written or not
  bool has_entry = false;
  uint64_t unindexed_bytes = 0;  // checkpointed since entries were last written
};

struct IndexWrite {
  int64_t base_offset = 0;
  uint32_t generation = 0, directory = 0;  // of the segment's file
  std::vector<IndexEntry> entries;
};

struct CheckpointPlan {
  PartitionManifest after;
  std::vector<SegmentWrite> writes;
  std::vector<int64_t> dropped;  // base offsets of segments that go
  size_t first_changed = 0;      // segments of `after` from here on have a new row
  PendingIndex pending;          // afterwards
  std::vector<IndexWrite> index_writes;
};

struct IndexSpacing {
  uint64_t entry_bytes = 64 * 1024;    // about one entry per so many bytes of log
  uint64_t write_bytes = 1024 * 1024;  // entries are written when so many bytes are un-indexed
};

// Returns whether a new segment begins with the batch, as Kafka's LogSegment.shouldRoll.
bool must_roll(const SegmentInfo& active, const BatchInfo& batch, uint64_t segment_bytes, int64_t segment_ms);
// The row of a segment after its first batch, and after a later one.
SegmentInfo begin_segment(const BatchInfo& batch);
void extend_segment(SegmentInfo& segment, const BatchInfo& batch);

// `before`: the manifest so far. For a partition without one it is empty, and its log start and end are where the batches begin.
// `damaged_segment`: base offset of a segment that gets no more batches, or -1. kInvalid if the batches do not continue the
// manifest or contradict their info, or if the aborted transactions do not fit their markers.
Result<CheckpointPlan> plan_checkpoint(const PartitionManifest& before, const CheckpointPartition& checkpoint,
                                       const PendingIndex& pending, const IndexSpacing& spacing, int64_t damaged_segment = -1);

}  // namespace weir::storage
