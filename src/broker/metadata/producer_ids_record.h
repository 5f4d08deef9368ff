// `/producer-ids/next`: the first producer id that no block has had. A block is durable here before an id of it is used, so no id
// is given twice. Ids of a block that are left at a restart are never used.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir::broker {

struct ProducerIdsRecord {
  static constexpr std::string_view kKey = "/producer-ids/next";

  int64_t next = 0;

  bool operator==(const ProducerIdsRecord&) const = default;
  std::string encode() const;
  static Result<ProducerIdsRecord> decode(std::string_view value);
};

// Ids [next, end).
struct ProducerIdBlock {
  static constexpr int64_t kSize = 1000;
  int64_t next = 0;
  int64_t end = 0;
};

}  // namespace weir::broker
