// Finds partitions that a request names several times. Kafka puts a request's partitions into a map, so the last mention counts,
// and the partition is answered once. For a few partitions, as in most requests, nothing is allocated.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/uuid.h"

namespace weir::broker {

class RepeatedPartitions {
 public:
  // Each partition of the request, in its order; `count` is how many there will be.
  explicit RepeatedPartitions(size_t count) : count_(count) {
    if (count <= kFew) return;
    superseded_.resize(count);
    mentions_.reserve(count);
  }
  // The name of the topic outlives the object.
  void mention(const Uuid& topic_id, std::string_view topic, int32_t index) {
    if (count_ <= 1) return;
    if (count_ > kFew) return mentions_.push_back({&topic_id, topic, index, mentions_.size()});
    few_[mentioned_] = {&topic_id, topic, index, mentioned_};
    for (size_t i = 0; i < mentioned_; ++i) {
      if (few_[i].index == index && *few_[i].topic_id == topic_id && few_[i].topic == topic) superseded_few_ |= uint32_t{1} << i;
    }
    ++mentioned_;
  }
  void all_mentioned() {
    const auto name = [](const Mention& m) { return std::tie(*m.topic_id, m.topic, m.index); };
    std::ranges::sort(mentions_, [&](const Mention& a, const Mention& b) {
      return std::tie(*a.topic_id, a.topic, a.index, a.order) < std::tie(*b.topic_id, b.topic, b.index, b.order);
    });
    for (size_t i = 1; i < mentions_.size(); ++i) {
      if (name(mentions_[i - 1]) == name(mentions_[i])) superseded_[mentions_[i - 1].order] = true;
    }
  }
  // Whether a later one than the n-th names the same partition.
  bool superseded(size_t n) const { return count_ <= kFew ? (superseded_few_ >> n & 1) != 0 : superseded_[n]; }

 private:
  static constexpr size_t kFew = 16;
  struct Mention {
    const Uuid* topic_id;
    std::string_view topic;
    int32_t index;
    size_t order;
  };
  const size_t count_;
  size_t mentioned_ = 0;
  uint32_t superseded_few_ = 0;
  std::array<Mention, kFew> few_;
  std::vector<Mention> mentions_;
  std::vector<bool> superseded_;
};

}  // namespace weir::broker
