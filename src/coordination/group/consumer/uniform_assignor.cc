#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "coordination/group/consumer/assignor.h"
#include "coordination/group/consumer/topic_subscribers.h"

namespace weir::coordination {
namespace {

// All members subscribe to all topics: each gets the same number of partitions, some one more. Those who have one more keep it,
// so that only what is too much moves.
Owners assign_equally(size_t members, Owners owners) {
  std::vector<size_t> held(members);
  size_t total = 0;
  for (const auto& topic : owners) {
    total += topic.size();
    for (const int32_t owner : topic) {
      if (owner >= 0) ++held[static_cast<size_t>(owner)];
    }
  }
  const size_t each = total / members;
  size_t with_one_more = total % members;
  std::vector<size_t> room(members, each);
  for (const bool has_it : {true, false}) {
    for (size_t member = 0; member < members && with_one_more > 0; ++member) {
      if ((held[member] > each) != has_it) continue;
      ++room[member];
      --with_one_more;
    }
  }
  for (auto& topic : owners) {
    for (int32_t& owner : topic) {
      if (owner < 0) continue;
      if (room[static_cast<size_t>(owner)] == 0) owner = -1;
      else --room[static_cast<size_t>(owner)];
    }
  }
  size_t next = 0;
  for (auto& topic : owners) {
    for (int32_t& owner : topic) {
      if (owner >= 0) continue;
      while (room[next] == 0) ++next;
      owner = static_cast<int32_t>(next);
      --room[next];
    }
  }
  return owners;
}

// Members subscribe to different topics. Each topic in turn is evened out among its subscribers, until nothing changes.
class Balance {
 public:
  Balance(const AssignorInput& input, Owners owners)
      : owners_(std::move(owners)), subscribers_(input, numbers(input.members.size())), loads_(input.members.size()) {
    drop_others(input.members.size());
    order_topics();
  }

  Owners reach() && {
    for (const size_t topic : order_) assign_free(topic);
    bool moved = true;
    for (int round = 0; round < kRounds && moved; ++round) {
      moved = false;
      for (const size_t topic : order_) moved = even_out(topic) || moved;
    }
    return std::move(owners_);
  }

 private:
  // Where many subscriptions overlap like the links of a chain, rounds bring less and less.
  static constexpr int kRounds = 16;
  using Loaded = std::pair<int32_t, int32_t>;  // load, member

  static std::vector<int32_t> numbers(size_t count) {
    std::vector<int32_t> all(count);
    std::iota(all.begin(), all.end(), 0);
    return all;
  }

  void drop_others(size_t members) {
    std::vector<size_t> subscribes(members, owners_.size());  // the last topic to which each was seen to
    for (size_t topic = 0; topic < owners_.size(); ++topic) {
      for (const int32_t member : subscribers_.of(topic)) subscribes[static_cast<size_t>(member)] = topic;
      for (int32_t& owner : owners_[topic]) {
        if (owner < 0) continue;
        if (subscribes[static_cast<size_t>(owner)] == topic) ++loads_[static_cast<size_t>(owner)];
        else owner = -1;
      }
    }
  }

  // Topics with the most partitions for each subscriber are first: the others even out what these leave uneven.
  void order_topics() {
    for (size_t topic = 0; topic < owners_.size(); ++topic) {
      if (!owners_[topic].empty() && !subscribers_.of(topic).empty()) order_.push_back(topic);
    }
    std::ranges::sort(order_, [&](size_t a, size_t b) {
      const size_t subscribers_a = subscribers_.of(a).size(), subscribers_b = subscribers_.of(b).size();
      const size_t left = owners_[a].size() * subscribers_b, right = owners_[b].size() * subscribers_a;
      if (left != right) return left > right;
      return subscribers_a != subscribers_b ? subscribers_a < subscribers_b : a < b;
    });
  }

  // The heap's first is the least loaded.
  void take_subscribers(size_t topic) {
    takers_.clear();
    for (const int32_t member : subscribers_.of(topic)) takers_.emplace_back(loads_[static_cast<size_t>(member)], member);
    std::ranges::make_heap(takers_, std::greater());
  }
  void give(int32_t& owner) {
    std::ranges::pop_heap(takers_, std::greater());
    auto& [load, member] = takers_.back();
    owner = member;
    ++loads_[static_cast<size_t>(member)];
    ++load;
    std::ranges::push_heap(takers_, std::greater());
  }

  void assign_free(size_t topic) {
    if (std::ranges::find(owners_[topic], -1) == owners_[topic].end()) return;
    take_subscribers(topic);
    for (int32_t& owner : owners_[topic]) {
      if (owner < 0) give(owner);
    }
  }

  // Returns whether partitions moved. Who gives is never one who has taken, and the other way round: a difference of two is then
  // one of none.
  bool even_out(size_t topic) {
    take_subscribers(topic);
    const auto most = std::ranges::max_element(takers_);
    if (most->first - takers_.front().first <= 1) return false;
    auto& owners = owners_[topic];
    by_owner_.resize(owners.size());
    std::iota(by_owner_.begin(), by_owner_.end(), 0);
    std::ranges::sort(by_owner_, {},
                      [&](int32_t partition) { return std::pair(owners[static_cast<size_t>(partition)], partition); });
    givers_.clear();
    left_.resize(loads_.size());
    for (size_t i = 0; i < by_owner_.size(); ++i) {
      const int32_t owner = owners[static_cast<size_t>(by_owner_[i])];
      if (givers_.empty() || givers_.back().second != owner) {
        givers_.emplace_back(loads_[static_cast<size_t>(owner)], owner);
        left_[static_cast<size_t>(owner)].first = i;
      }
      left_[static_cast<size_t>(owner)].second = i + 1;
    }
    std::ranges::make_heap(givers_);
    bool moved = false;
    while (!givers_.empty() && givers_.front().first - takers_.front().first > 1) {
      std::ranges::pop_heap(givers_);
      auto& [load, giver] = givers_.back();
      auto& [begin, end] = left_[static_cast<size_t>(giver)];
      give(owners[static_cast<size_t>(by_owner_[--end])]);
      --loads_[static_cast<size_t>(giver)];
      --load;
      if (begin == end) givers_.pop_back();
      else std::ranges::push_heap(givers_);
      moved = true;
    }
    return moved;
  }

  Owners owners_;
  const TopicSubscribers subscribers_;
  std::vector<int32_t> loads_;  // by member
  std::vector<size_t> order_;   // topics with partitions and subscribers
  // Of the topic that is being evened out.
  std::vector<Loaded> takers_;
  std::vector<Loaded> givers_;                   // those who own something of it; the heap's first is the most loaded
  std::vector<int32_t> by_owner_;                // partitions
  std::vector<std::pair<size_t, size_t>> left_;  // by member: what of `by_owner_` it can still give
};

}  // namespace

Owners assign_uniform(const AssignorInput& input, Owners previous) {
  if (input.members.empty()) {
    for (auto& topic : previous) std::ranges::fill(topic, -1);
    return previous;
  }
  if (input.equal_subscriptions) return assign_equally(input.members.size(), std::move(previous));
  return Balance(input, std::move(previous)).reach();
}

}  // namespace weir::coordination
