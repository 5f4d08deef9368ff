// By topic, who subscribes to it: for the assignors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "coordination/group/consumer/assignor.h"

namespace weir::coordination {

class TopicSubscribers {
 public:
  // `order`: the numbers of all members, in the order that the subscribers of each topic shall have.
  TopicSubscribers(const AssignorInput& input, std::vector<int32_t> order) : begins_(input.topics.size() + 1) {
    if (input.equal_subscriptions) {
      members_ = std::move(order);
      return;
    }
    for (const AssignorMember& member : input.members) {
      for (const int32_t topic : member.topics) ++begins_[static_cast<size_t>(topic) + 1];
    }
    for (size_t topic = 0; topic < input.topics.size(); ++topic) begins_[topic + 1] += begins_[topic];
    members_.resize(begins_.back());
    std::vector<size_t> ends = begins_;
    for (const int32_t member : order) {
      for (const int32_t topic : input.members[static_cast<size_t>(member)].topics)
        members_[ends[static_cast<size_t>(topic)]++] = member;
    }
  }

  std::span<const int32_t> of(size_t topic) const {
    if (begins_.back() == 0) return members_;
    return std::span(members_).subspan(begins_[topic], begins_[topic + 1] - begins_[topic]);
  }

 private:
  std::vector<size_t> begins_;  // by topic, in `members_`; zeroes if all members subscribe to all topics
  std::vector<int32_t> members_;
};

}  // namespace weir::coordination
