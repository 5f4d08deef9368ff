// What a partition's log consists of, as its manifest says it. Format: docs/formats/segments.md.
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
  // Whether its timestamps are those of its records. Earlier versions and Kafka's folders took them from batch headers, which
  // producers get wrong: until somebody looked at the records (log/segment_time_check.h), nothing goes or is hidden for them.
  bool times_known = false;
  // Without times_known: somebody looked, and largest_timestamp() is no less than the times of the records. But headers still
  // lie, for there was no room to write them anew, or some of it cannot be read.
  bool age_known = false;
  // Entries of its index of aborted transactions (aborted_index.h), and the CRC-32C of all their bytes.
  uint32_t aborted = 0;
  uint32_t aborted_crc = 0;

  bool has_age() const { return times_known || age_known; }

  // As Kafka has it, with the time of the file's last change: records without a time are as old as their append.
  int64_t largest_timestamp() const { return max_timestamp >= 0 ? max_timestamp : modified_ms; }
  bool operator==(const SegmentInfo&) const = default;
};

// A partition as of its recovery point: everything below `end_offset` is in segments, everything from it on in the
// WAL.
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

// The segment that ends beyond the offset, by number; segments.size() if there is none.
inline size_t segment_of(const PartitionManifest& manifest, int64_t offset) {
  // Offsets that compaction took lie before the first batch of the next segment.
  if (offset < manifest.log_start_offset) return manifest.segments.size();
  const auto found = std::ranges::upper_bound(manifest.segments, offset, {}, &SegmentInfo::next_offset);
  return static_cast<size_t>(found - manifest.segments.begin());
}

}  // namespace weir::storage
