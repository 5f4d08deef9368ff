// Partitions of topics by id: what a member of a modern group owns, or shall own.
#pragma once

#include <cstdint>
#include <vector>

#include "base/uuid.h"

namespace weir::coordination {

struct TopicPartitions {
  Uuid topic_id;
  std::vector<int32_t> partitions;  // ascending, at least one
  bool operator==(const TopicPartitions&) const = default;
};
// Ascending by topic id, each topic once.
using Assignment = std::vector<TopicPartitions>;

}  // namespace weir::coordination
