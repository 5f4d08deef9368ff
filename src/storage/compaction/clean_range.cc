#include "storage/compaction/clean_range.h"

#include <algorithm>
#include <limits>

#include "storage/segment/aborted_index.h"

namespace weir::storage {

namespace {

constexpr int64_t kOffsetSpanMax = std::numeric_limits<int32_t>::max();
constexpr uint64_t kSegmentBytesMax = std::numeric_limits<int32_t>::max();

// True if at least a part of the segment is at or above `offset`.
bool reaches(const SegmentInfo& segment, int64_t offset) { return segment.next_offset > offset; }

}  // namespace

CleanRange clean_range(const PartitionManifest& manifest, int64_t last_stable_offset, const CompactionRules& rules,
                       int64_t now_ms) {
  CleanRange range;
  // The log start passes the stored first dirty offset when retention or DeleteRecords work beside compaction.
  range.first_dirty_offset = range.first_uncleanable_offset = std::max(manifest.first_dirty_offset, manifest.log_start_offset);
  int64_t earliest_dirty = INT64_MAX;
  // While the times of a segment are unknown, LogDirMover may write it anew. Nothing is cleaned at the same time.
  bool cleanable = std::ranges::all_of(manifest.segments, &SegmentInfo::times_known);
  for (size_t i = 0; i + 1 < manifest.segments.size(); ++i) {
    const SegmentInfo& segment = manifest.segments[i];
    if (segment.base_offset < range.first_dirty_offset) range.clean_bytes += segment.length;
    if (!reaches(segment, range.first_dirty_offset)) continue;
    if (segment.first_timestamp > 0) earliest_dirty = std::min(earliest_dirty, segment.first_timestamp);
    cleanable = cleanable && segment.next_offset <= last_stable_offset;
    if (rules.min_compaction_lag_ms > 0)
      cleanable = cleanable && segment.largest_timestamp() <= now_ms - rules.min_compaction_lag_ms;
    if (!cleanable) continue;
    range.cleanable_bytes += segment.length;
    range.first_uncleanable_offset = std::max(range.first_uncleanable_offset, segment.next_offset);
  }
  const int64_t lag = std::max<int64_t>(rules.max_compaction_lag_ms, 0);
  int64_t clean_until = std::numeric_limits<int64_t>::min();
  if (!__builtin_sub_overflow(now_ms, lag, &clean_until)) range.overdue = earliest_dirty < clean_until;
  return range;
}

std::vector<std::vector<SegmentInfo>> group_segments(const std::vector<SegmentInfo>& segments, int64_t end_offset,
                                                     uint64_t segment_bytes) {
  std::vector<std::vector<SegmentInfo>> groups;
  uint64_t bytes = 0, aborted = 0;
  const uint64_t limit = std::min(segment_bytes, kSegmentBytesMax);
  // The last segment is active.
  for (size_t i = 0; i + 1 < segments.size() && segments[i].base_offset < end_offset; ++i) {
    const SegmentInfo& segment = segments[i];
    const bool fits = !groups.empty() && bytes + segment.length <= limit && aborted + segment.aborted <= kAbortedPerSegment &&
                      segment.next_offset - 1 - groups.back().front().base_offset <= kOffsetSpanMax;
    if (!fits) {
      groups.emplace_back();
      bytes = aborted = 0;
    }
    groups.back().push_back(segment);
    bytes += segment.length;
    aborted += segment.aborted;
  }
  return groups;
}

}  // namespace weir::storage
