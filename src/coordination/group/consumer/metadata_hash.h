// A hash of what a group's assignment depends on: its topics with their partitions and racks. When it changes, the group gets a
// new assignment. Equal to Kafka's (KIP-1101), so that groups that it has left do not rebalance; only where two replicas of a
// partition are in one rack, which it counts twice, it differs.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "coordination/runtime/image.h"

namespace weir::coordination {

// 0: there is no such topic.
int64_t topic_hash(const Image& image, std::string_view topic);
// Of topics with their hashes, ascending by name. 0: of none.
int64_t group_hash(std::span<const std::pair<std::string_view, int64_t>> topics);

}  // namespace weir::coordination
