// The assignors of consumer groups: pure functions. The same input gives the same result, and a result as input gives itself.
//
// Members and topics have numbers: their places in the input. Cost: proportional to members, topics and partitions together;
// nothing is looked up by name.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/uuid.h"

namespace weir::coordination {

struct AssignorMember {
  std::string_view id;
  std::optional<std::string_view> instance_id;
  std::vector<int32_t>
      topics;  // that it subscribes to, as numbers, ascending. Not filled if all members have equal subscriptions
};
struct AssignorTopic {
  Uuid id;
  int32_t partition_count = 0;
};
struct AssignorInput {
  std::vector<AssignorMember> members;  // ascending by id
  std::vector<AssignorTopic> topics;    // that anybody subscribes to, ascending by id
  bool equal_subscriptions = true;      // then each member subscribes to all topics
};

// By topic and partition the number of the member that owns it; -1: nobody.
using Owners = std::vector<std::vector<int32_t>>;

// `previous` has the shape of the result: a vector for each topic, as long as the topic has partitions. An owner in it need not
// subscribe to the topic any more.
using Assign = Owners (*)(const AssignorInput& input, Owners previous);

// As even as it can be, and no more moves than that needs. If subscriptions overlap in long chains, a result may be less even,
// and as input become more so. Does for `uniform`.
Owners assign_uniform(const AssignorInput& input, Owners previous);
// Of each topic a contiguous range of partitions, so that partitions of topics with equal counts are together. Does for `range`.
Owners assign_range(const AssignorInput& input, Owners previous);

struct Assignor {
  std::string_view name;
  Assign assign = nullptr;
};
std::span<const Assignor> consumer_assignors();  // the first is the default
const Assignor* find_consumer_assignor(std::string_view name);

}  // namespace weir::coordination
