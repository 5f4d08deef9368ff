// The partitions that cannot serve because their data is damaged. All shards know them, and metadata shows them without a leader.
// They stay offline until a restart. Thread-safe.
#pragma once

#include <atomic>
#include <mutex>
#include <unordered_set>

#include "storage/types.h"

namespace weir::broker {

class OfflinePartitions {
 public:
  void add(const storage::PartitionId& partition) {
    const std::lock_guard lock(mutex_);
    partitions_.insert(partition);
    any_.store(true, std::memory_order_release);
  }
  bool contains(const storage::PartitionId& partition) const {
    if (!any_.load(std::memory_order_acquire)) return false;  // as good as always
    const std::lock_guard lock(mutex_);
    return partitions_.contains(partition);
  }

 private:
  std::atomic<bool> any_{false};
  mutable std::mutex mutex_;
  std::unordered_set<storage::PartitionId> partitions_;  // protected by mutex_
};

}  // namespace weir::broker
