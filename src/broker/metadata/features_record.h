// `/features`: the finalized features and their epoch, which grows with each change. Clients look at the features only
// if the epoch exceeds the last one they saw, so it must never go back.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir::broker {

struct FeaturesRecord {
  static constexpr std::string_view kKey = "/features";

  int64_t epoch = 0;
  std::map<std::string, int16_t, std::less<>> levels;

  bool operator==(const FeaturesRecord&) const = default;
  std::string encode() const;
  static Result<FeaturesRecord> decode(std::string_view value);
};

}  // namespace weir::broker
