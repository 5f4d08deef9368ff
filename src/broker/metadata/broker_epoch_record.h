// `/broker/epoch`: grows with every start after an unclean end. The leader epoch of a partition is this epoch minus the epoch of
// its topic's creation. So one durable write moves the leader epochs of all partitions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir::broker {

struct BrokerEpochRecord {
  static constexpr std::string_view kKey = "/broker/epoch";

  int32_t epoch = 0;

  bool operator==(const BrokerEpochRecord&) const = default;
  std::string encode() const;
  static Result<BrokerEpochRecord> decode(std::string_view value);
};

}  // namespace weir::broker
