// Which member of a group has a partition: it is assigned to the member, or the member has not given it up yet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "coordination/group/consumer/consumer_records.h"

namespace weir::coordination {

class PartitionOwners {
 public:
  static constexpr int32_t kNobody = -1;
  // A record with greater numbers is damaged, or of somebody who means no good: they have no owner.
  static constexpr int32_t kPartitionsMax = 1 << 20;

  int32_t owner(const Uuid& topic_id, int32_t partition) const {
    const auto at = topics_.find(topic_id);
    if (at == topics_.end() || partition < 0 || static_cast<size_t>(partition) >= at->second.of.size()) return kNobody;
    return at->second.of[static_cast<size_t>(partition)];
  }
  // A second owner takes the place of the first.
  void take(const std::vector<OwnedTopicPartitions>& topics, int32_t member);
  // Those of other members stay theirs.
  void release(const std::vector<OwnedTopicPartitions>& topics, int32_t member);
  int64_t memory_bytes() const { return bytes_; }  // estimated
  int64_t counted_memory_bytes() const;            // the same by a walk

 private:
  struct Topic {
    std::vector<int32_t> of;  // by partition
    size_t owned = 0;
  };
  static constexpr int64_t kTopicBytes = 96;

  std::unordered_map<Uuid, Topic> topics_;  // with an owner
  int64_t bytes_ = 0;
};

}  // namespace weir::coordination
