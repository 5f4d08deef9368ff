// The next target assignment of a consumer group: what its assignor makes of members, topics and the present target.
#pragma once

#include <vector>

#include "coordination/group/consumer/assignor.h"
#include "coordination/group/consumer/consumer_group.h"
#include "coordination/runtime/image.h"

namespace weir::coordination {

struct NextTarget {
  struct OfMember {
    const ConsumerMember* member = nullptr;
    Assignment target;
  };
  std::vector<OfMember> changed;  // members whose target differs from their present one, or that have none
  size_t partitions = 0;          // of all subscribed topics that exist
};

// Costs what members, topics, partitions and the present target have together. Pure.
NextTarget next_target(const ConsumerGroup& group, const Image& image, Assign assign);

}  // namespace weir::coordination
