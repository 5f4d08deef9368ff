#include <algorithm>
#include <numeric>

#include "coordination/group/consumer/assignor.h"
#include "coordination/group/consumer/topic_subscribers.h"

namespace weir::coordination {
namespace {

// Static members are first, because they come back with the same name and shall find the same partitions.
std::vector<int32_t> in_order(const std::vector<AssignorMember>& members) {
  std::vector<int32_t> order(members.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, [&](int32_t a, int32_t b) {
    const auto& left = members[static_cast<size_t>(a)].instance_id;
    const auto& right = members[static_cast<size_t>(b)].instance_id;
    if (left.has_value() != right.has_value()) return left.has_value();
    return left == right ? a < b : left < right;
  });
  return order;
}

}  // namespace

Owners assign_range(const AssignorInput& input, Owners previous) {
  Owners& owners = previous;
  const TopicSubscribers subscribers(input, in_order(input.members));
  for (size_t topic = 0; topic < owners.size(); ++topic) {
    const auto members = subscribers.of(topic);
    std::ranges::fill(owners[topic], -1);
    if (members.empty()) continue;
    const size_t each = owners[topic].size() / members.size();
    const size_t with_one_more = owners[topic].size() % members.size();
    auto next = owners[topic].begin();
    for (size_t i = 0; i < members.size(); ++i) next = std::fill_n(next, each + (i < with_one_more ? 1 : 0), members[i]);
  }
  return previous;
}

}  // namespace weir::coordination
