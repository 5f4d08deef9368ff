#include "storage/segment/replace_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "storage/segment/segment_names.h"

namespace weir::storage {

const SegmentInfo* find_segment(const std::vector<SegmentInfo>& segments, const SegmentInfo& wanted) {
  const auto found = std::ranges::lower_bound(segments, wanted.base_offset, {}, &SegmentInfo::base_offset);
  const bool same = found != segments.end() && found->base_offset == wanted.base_offset && found->generation == wanted.generation;
  return same ? &*found : nullptr;
}

Result<ReplacePlan> plan_replacement(const PartitionManifest& manifest, const SegmentReplacement& replacement) {
  ReplacePlan plan;
  for (const auto& group : replacement.groups) {
    std::vector<SegmentInfo> present;
    for (const SegmentInfo& source : group.sources) {
      const SegmentInfo* found = find_segment(manifest.segments, source);
      if (!found) continue;
      const bool outdated = replacement.move && (*found != source || group.outputs.empty() ||
                                                 group.outputs.front().directory != manifest.place.target);
      if (!outdated) present.push_back(*found);
    }
    for (const SegmentInfo& output : group.outputs) {
      // The log start may have moved meanwhile. Segments below it are gone then.
      const bool wanted = !present.empty() && output.next_offset > manifest.log_start_offset;
      (wanted ? plan.added : plan.unused).push_back(output);
    }
    plan.removed.insert(plan.removed.end(), present.begin(), present.end());
  }
  for (const SegmentInfo& segment : manifest.segments) {
    if (!find_segment(plan.removed, segment)) plan.segments.push_back(segment);
  }
  plan.segments.insert(plan.segments.end(), plan.added.begin(), plan.added.end());
  std::ranges::sort(plan.segments, {}, &SegmentInfo::base_offset);
  for (size_t i = 1; i < plan.segments.size(); ++i) {
    if (plan.segments[i - 1].next_offset <= plan.segments[i].base_offset) continue;
    return fail(ErrorCode::kInvalid, fmt::format("rewritten segments of {} overlap at offset {}",
                                                 partition_folder_name(replacement.partition), plan.segments[i].base_offset));
  }
  return plan;
}

}  // namespace weir::storage
