// What a replacement of segments does to a partition's manifest as it is now. Pure.
#pragma once

#include <vector>

#include "base/result.h"
#include "storage/segment/manifest_store.h"

namespace weir::storage {

struct ReplacePlan {
  std::vector<SegmentInfo> segments;  // afterwards
  std::vector<SegmentInfo> removed, added, unused;
};

// The segment with the same name; null if there is none. `segments` ascend.
const SegmentInfo* find_segment(const std::vector<SegmentInfo>& segments, const SegmentInfo& wanted);

// kInvalid if segments would overlap.
Result<ReplacePlan> plan_replacement(const PartitionManifest& manifest, const SegmentReplacement& replacement);

}  // namespace weir::storage
