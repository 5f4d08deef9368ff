// Bounds the idempotent producers that the partitions of a shard remember together. Clients choose the ids, so a client with a
// new id for each batch would fill the memory. Above the bound the partition with the most producers forgets its oldest ones. So
// a client with many producers makes its own partition forget, not other ones.
//
// Loop thread only.
#pragma once

#include <cstddef>
#include <span>

#include "storage/log/partition.h"

namespace weir::storage {

class ProducerBound {
 public:
  // Memory of a producer with its last five batches, in all indexes, and with its row.
  static constexpr size_t kProducerBytes = 640;

  explicit ProducerBound(size_t most) : most_(most) {}

  // Counts new producers of a partition.
  void added(Partition& partition, size_t producers) {
    count_ += producers;
    note(partition);
  }
  void removed(size_t producers) { count_ -= producers; }
  void dropped(const Partition& partition) {
    count_ -= partition.producers().size();
    if (largest_ == &partition) largest_ = nullptr;
  }
  bool exceeded() const { return count_ > most_; }
  size_t count() const { return count_; }
  size_t most() const { return most_; }
  // If exceeded(): returns the partition whose oldest producer should go. It has the most producers of the partitions seen so
  // far. Each call sees some more.
  Partition& partition_to_shrink(std::span<Partition* const> all);

 private:
  void note(Partition& partition) {
    if (!largest_ || partition.producers().size() > largest_->producers().size()) largest_ = &partition;
  }

  const size_t most_;
  size_t count_ = 0;
  Partition* largest_ = nullptr;  // of the partitions seen so far
  size_t next_look_ = 0;
};

}  // namespace weir::storage
