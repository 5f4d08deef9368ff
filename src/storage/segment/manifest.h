// The manifest of a partition: its segments and its bounds. Format: docs/formats/segments.md.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "storage/types.h"

namespace weir::storage {

struct SegmentInfo {
  int64_t base_offset = 0;
  int64_t next_offset = 0;  // after its last batch
  uint64_t length = 0;      // valid bytes of the file
  int64_t max_timestamp = kNoTimestamp;
  int64_t first_timestamp = kNoTimestamp;  // max timestamp of its first batch; rolling by time counts from it
  int64_t created_ms = 0;                  // wall clock of the first append to it
  uint32_t generation = 0;                 // of its file: 0 if a checkpoint wrote it, higher after compaction or a move
  uint32_t directory = 0;                  // number of the log directory its file is in
  int64_t modified_ms = 0;                 // wall clock of the last append to it, whatever file it is in
  // Whether its timestamps are the times of its records. Earlier versions and Kafka's folders took them from batch headers, which
  // producers get wrong. Until SegmentTimeCheck has read the records, no segment is deleted or passed over for its times.
  bool times_known = false;
  // Without times_known: SegmentTimeCheck has read the records, and none is younger than largest_timestamp(). But headers still
  // lie, because there was no room to write the segment anew, or a part of it cannot be read.
  bool age_known = false;
  // Number of entries in its index of aborted transactions (aborted_index.h), and the CRC-32C of all their bytes.
  uint32_t aborted = 0;
  uint32_t aborted_crc = 0;

  bool has_age() const { return times_known || age_known; }

  // Records without a time are as old as their append. Kafka takes the time of the file's last change instead.
  int64_t largest_timestamp() const { return max_timestamp >= 0 ? max_timestamp : modified_ms; }
  bool operator==(const SegmentInfo&) const = default;
};

// A partition as of its recovery point. All batches below `end_offset` are in segments, all others in the write-ahead log.
struct PartitionManifest {
  PartitionId partition;
  int64_t log_start_offset = 0;
  int64_t end_offset = 0;             // the recovery point
  std::vector<SegmentInfo> segments;  // ascending, the last one is active; may be empty
  std::vector<EpochStart> epochs;     // ascending
  int64_t first_dirty_offset = 0;     // compaction is done with everything below
  PartitionPlace place;
  bool operator==(const PartitionManifest&) const = default;
};

// Returns the number of the segment that ends beyond the offset; segments.size() without one.
inline size_t segment_of(const PartitionManifest& manifest, int64_t offset) {
  // Offsets that compaction took lie before the first batch of the next segment.
  if (offset < manifest.log_start_offset) return manifest.segments.size();
  const auto found = std::ranges::upper_bound(manifest.segments, offset, {}, &SegmentInfo::next_offset);
  return static_cast<size_t>(found - manifest.segments.begin());
}

}  // namespace weir::storage
