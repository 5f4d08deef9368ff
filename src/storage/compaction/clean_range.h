// Which part of a partition's log can be cleaned, how dirty it is, and which segments become one. Pure;
// Kafka's rules (LogCleanerManager.cleanableOffsets, LogToClean, Cleaner.groupSegmentsBySize).
#pragma once

#include <cstdint>
#include <vector>

#include "storage/segment/manifest.h"

namespace weir::storage {

struct CompactionRules {
  double min_cleanable_dirty_ratio = 0.5;
  int64_t min_compaction_lag_ms = 0;
  int64_t max_compaction_lag_ms = INT64_MAX;
};

struct CleanRange {
  int64_t first_dirty_offset = 0;
  int64_t first_uncleanable_offset = 0;  // where a segment begins; the active segment is never cleaned
  uint64_t clean_bytes = 0;
  uint64_t cleanable_bytes = 0;  // of dirty segments
  bool overdue = false;          // max.compaction.lag.ms has passed
  double dirty_ratio() const {
    const uint64_t total = clean_bytes + cleanable_bytes;
    return total == 0 ? 0 : static_cast<double>(cleanable_bytes) / static_cast<double>(total);
  }
  // True if it is time to clean.
  bool due(const CompactionRules& rules) const {
    return cleanable_bytes > 0 && (overdue || dirty_ratio() > rules.min_cleanable_dirty_ratio);
  }
};

CleanRange clean_range(const PartitionManifest& manifest, int64_t last_stable_offset, const CompactionRules& rules,
                       int64_t now_ms);

// The segments that begin below `end_offset`, in groups that become one segment each. A group has at most `segment_bytes` (or
// is a single segment), and no more offsets or aborted transactions than a segment may have.
std::vector<std::vector<SegmentInfo>> group_segments(const std::vector<SegmentInfo>& segments, int64_t end_offset,
                                                     uint64_t segment_bytes);

}  // namespace weir::storage
