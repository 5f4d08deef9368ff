// How many idempotent producers the partitions of a shard remember together. Their ids are the clients' to choose, so somebody who
// takes a new one for each batch would fill the memory. Above the bound the oldest producers of the partition that has most are
// forgotten: whoever brings many loses those of his own partition, not others'.
//
// Loop thread only.
#pragma once

#include <cstddef>
#include <span>

#include "storage/log/partition.h"

namespace weir::storage {

class ProducerBound {
 public:
  // Memory of one with its last five batches, in all indexes.
  static constexpr size_t kProducerBytes = 512;

  explicit ProducerBound(size_t most) : most_(most) {}

  void added(size_t producers) { count_ += producers; }
  void removed(size_t producers) { count_ -= producers; }
  void dropped(const Partition& partition) {
    count_ -= partition.producers().size();
    if (largest_ == &partition) largest_ = nullptr;
  }
  bool exceeded() const { return count_ > most_; }
  size_t count() const { return count_; }
  size_t most() const { return most_; }
  // Whose oldest producer is to go, if exceeded(); `grown` is of `all`. Now and then it has none.
  Partition& partition_to_shrink(std::span<Partition* const> all, Partition& grown);

 private:
  const size_t most_;
  size_t count_ = 0;
  Partition* largest_ = nullptr;  // of those that were looked at
  size_t next_look_ = 0;
};

}  // namespace weir::storage
