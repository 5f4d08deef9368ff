// `/cluster/id`: the id of this cluster, made up at its first start and never changed.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace weir::broker {

struct ClusterIdRecord {
  static constexpr std::string_view kKey = "/cluster/id";

  std::string id;  // text form of a uuid, as clients see it

  bool operator==(const ClusterIdRecord&) const = default;
  std::string encode() const;
  static Result<ClusterIdRecord> decode(std::string_view value);
};

}  // namespace weir::broker
