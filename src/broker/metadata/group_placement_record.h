// `/groups/placement`: the id of the `__consumer_offsets` topic that has every group in the partition of Kafka's hash. Earlier
// versions used another hash. A folder without this entry is looked through once (coordinators/group_placement.h).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/uuid.h"

namespace weir::broker {

struct GroupPlacementRecord {
  static constexpr std::string_view kKey = "/groups/placement";

  Uuid topic;

  bool operator==(const GroupPlacementRecord&) const = default;
  std::string encode() const;
  static Result<GroupPlacementRecord> decode(std::string_view value);
};

}  // namespace weir::broker
