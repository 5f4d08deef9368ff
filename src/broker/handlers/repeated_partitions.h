// Partitions that a request names several times. Kafka puts a request's partitions into a map, so of those the last one
// counts, and it is answered once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/uuid.h"

namespace weir::broker {

class RepeatedPartitions {
 public:
  // Each partition of the request, in its order; `count` is how many there will be.
  explicit RepeatedPartitions(size_t count) {
    if (count <= 1) return;  // as most are: nothing to do, nothing allocated
    superseded_.resize(count);
    mentions_.reserve(count);
  }
  void mention(const Uuid& topic_id, std::string_view topic, int32_t index) {
    if (!superseded_.empty()) mentions_.push_back({topic_id, topic, index, mentions_.size()});
  }
  void all_mentioned() {
    const auto name = [](const Mention& m) { return std::tie(m.topic_id, m.topic, m.index); };
    std::ranges::sort(mentions_, [&](const Mention& a, const Mention& b) {
      return std::tie(a.topic_id, a.topic, a.index, a.order) < std::tie(b.topic_id, b.topic, b.index, b.order);
    });
    for (size_t i = 1; i < mentions_.size(); ++i) {
      if (name(mentions_[i - 1]) == name(mentions_[i])) superseded_[mentions_[i - 1].order] = true;
    }
  }
  // Whether a later one than the n-th names the same partition.
  bool superseded(size_t n) const { return !superseded_.empty() && superseded_[n]; }

 private:
  struct Mention {
    Uuid topic_id;
    std::string_view topic;
    int32_t index;
    size_t order;
  };
  std::vector<Mention> mentions_;
  std::vector<bool> superseded_;
};

}  // namespace weir::broker
