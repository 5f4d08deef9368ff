// Plans how a replacement of segments changes the present manifest of a partition. Pure.
#pragma once

#include <vector>

#include "base/result.h"
#include "storage/segment/manifest_store.h"

namespace weir::storage {

struct ReplacePlan {
  std::vector<SegmentInfo> segments;  // afterwards
  std::vector<SegmentInfo> removed, added, unused;
};

// Returns the segment with the same name; null without one. `segments` ascend.
const SegmentInfo* find_segment(const std::vector<SegmentInfo>& segments, const SegmentInfo& wanted);

// kInvalid if segments would overlap.
Result<ReplacePlan> plan_replacement(const PartitionManifest& manifest, const SegmentReplacement& replacement);

}  // namespace weir::storage
