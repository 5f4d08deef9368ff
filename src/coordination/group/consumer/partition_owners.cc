#include "coordination/group/consumer/partition_owners.h"

namespace weir::coordination {

void PartitionOwners::take(const std::vector<OwnedTopicPartitions>& topics, int32_t member) {
  for (const OwnedTopicPartitions& taken : topics) {
    if (taken.partitions.empty()) continue;
    const auto [at, added] = topics_.try_emplace(taken.topic_id);
    Topic& topic = at->second;
    if (added) bytes_ += kTopicBytes;
    for (const int32_t partition : taken.partitions) {
      if (partition < 0 || partition >= kPartitionsMax) continue;
      const auto index = static_cast<size_t>(partition);
      if (index >= topic.of.size()) {
        bytes_ += static_cast<int64_t>((index + 1 - topic.of.size()) * sizeof(int32_t));
        topic.of.resize(index + 1, kNobody);
      }
      if (topic.of[index] == kNobody) ++topic.owned;
      topic.of[index] = member;
    }
  }
}

void PartitionOwners::release(const std::vector<OwnedTopicPartitions>& topics, int32_t member) {
  for (const OwnedTopicPartitions& released : topics) {
    const auto at = topics_.find(released.topic_id);
    if (at == topics_.end()) continue;
    Topic& topic = at->second;
    for (const int32_t partition : released.partitions) {
      if (partition < 0 || static_cast<size_t>(partition) >= topic.of.size()) continue;
      int32_t& owner = topic.of[static_cast<size_t>(partition)];
      if (owner != member) continue;
      owner = kNobody;
      --topic.owned;
    }
    if (topic.owned > 0) continue;
    bytes_ -= kTopicBytes + static_cast<int64_t>(topic.of.size() * sizeof(int32_t));
    topics_.erase(at);
  }
}

int64_t PartitionOwners::counted_memory_bytes() const {
  int64_t bytes = 0;
  for (const auto& [id, topic] : topics_) bytes += kTopicBytes + static_cast<int64_t>(topic.of.size() * sizeof(int32_t));
  return bytes;
}

}  // namespace weir::coordination
