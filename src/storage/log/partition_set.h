// Partitions of a shard, in no order. If a partition goes, the last one takes its place. So a walk downwards by index misses no
// partition that stays, and meets some twice.
#pragma once

#include <cstddef>
#include <vector>

#include "storage/log/partition.h"

namespace weir::storage {

class PartitionSet {
 public:
  using Place = size_t Partition::ShardNotes::*;
  // `place` is where a partition notes its place in this list.
  explicit PartitionSet(Place place) : place_(place) {}

  void add(Partition& partition) {
    size_t& place = partition.of_shard.*place_;
    if (place != Partition::ShardNotes::kUnlisted) return;
    place = partitions_.size();
    partitions_.push_back(&partition);
  }
  void remove(Partition& partition) {
    size_t& place = partition.of_shard.*place_;
    if (place == Partition::ShardNotes::kUnlisted) return;
    partitions_[place] = partitions_.back();
    partitions_.back()->of_shard.*place_ = place;
    partitions_.pop_back();
    place = Partition::ShardNotes::kUnlisted;
  }
  size_t size() const { return partitions_.size(); }
  Partition& operator[](size_t i) const { return *partitions_[i]; }
  const std::vector<Partition*>& all() const { return partitions_; }

 private:
  const Place place_;
  std::vector<Partition*> partitions_;
};

}  // namespace weir::storage
