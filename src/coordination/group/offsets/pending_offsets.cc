#include "coordination/group/offsets/pending_offsets.h"

#include <utility>

namespace weir::coordination {
namespace {

// A node in each of the two maps and in the set of producers.
int64_t size_of(const GroupTopicPartition& of, const CommittedOffset& offset) {
  return 480 + static_cast<int64_t>(2 * (of.group_id.size() + of.topic.size()) + offset.metadata.size());
}

}  // namespace

const CommittedOffset* PendingOffsets::find(int64_t producer_id, GroupTopicPartitionView of) const {
  const auto producer = producers_.find(producer_id);
  if (producer == producers_.end()) return nullptr;
  const auto offset = producer->second.find(of);
  return offset == producer->second.end() ? nullptr : &offset->second;
}

void PendingOffsets::put(int64_t producer_id, GroupTopicPartition of, CommittedOffset offset) {
  const auto [slot, added] = producers_[producer_id].try_emplace(of);
  memory_.add(size_of(of, offset) - (added ? 0 : size_of(of, slot->second)));
  slot->second = std::move(offset);
  if (!added) return;
  ++count_;
  partitions_[std::move(of)].insert(producer_id);
}

void PendingOffsets::forget(const GroupTopicPartition& of, const CommittedOffset& offset) {
  --count_;
  memory_.add(-size_of(of, offset));
}

void PendingOffsets::erase(GroupTopicPartitionView of) {
  const auto partition = partitions_.find(of);
  if (partition == partitions_.end()) return;
  for (const int64_t producer_id : partition->second) {
    const auto producer = producers_.find(producer_id);
    const auto offset = producer->second.find(of);
    forget(offset->first, offset->second);
    producer->second.erase(offset);
    if (producer->second.empty()) producers_.erase(producer);
  }
  partitions_.erase(partition);
}

PendingOffsets::OfProducer PendingOffsets::take(int64_t producer_id) {
  const auto producer = producers_.find(producer_id);
  if (producer == producers_.end()) return {};
  OfProducer taken = std::move(producer->second);
  producers_.erase(producer);
  for (const auto& [of, offset] : taken) {
    forget(of, offset);
    const auto partition = partitions_.find(of);
    partition->second.erase(producer_id);
    if (partition->second.empty()) partitions_.erase(partition);
  }
  return taken;
}

int64_t PendingOffsets::counted_memory_bytes() const {
  int64_t bytes = 0;
  for (const auto& [producer_id, offsets] : producers_) {
    for (const auto& [of, offset] : offsets) bytes += size_of(of, offset);
  }
  return bytes;
}

}  // namespace weir::coordination
