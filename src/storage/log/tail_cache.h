// The memory of a shard's tails. Above the bound, checkpointed batches leave it in the order of their appends to all partitions.
// Dirty batches stay, whatever the bound is. The batches of a dropped partition go at once.
//
// Loop thread only, but for bytes().
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>

#include "base/function.h"
#include "base/lifetime.h"
#include "runtime/runtime.h"
#include "storage/log/partition.h"

namespace weir::storage {

class TailCache {
 public:
  // `evicted` is called at the end of each evict(), even if it ends in another turn.
  TailCache(runtime::Runtime& runtime, runtime::Loop& loop, uint64_t most_bytes, Function<void()> evicted)
      : runtime_(runtime), loop_(loop), most_bytes_(most_bytes), evicted_(std::move(evicted)) {}
  ~TailCache() { lifetime_.end(); }

  void add(Partition& partition, uint32_t bytes);  // of an appended batch
  void add_all(Partition& partition);              // of a partition that is new here
  // Evicts checkpointed batches, a bounded number in each turn.
  void evict();
  // Forgets up to `most` checkpointed batches of the partition that end at or below `offset`. Returns whether there are more.
  bool forget(Partition& partition, int64_t offset, size_t most);
  // Forgets all of a dropped partition.
  void release(Partition& partition);
  // Returns whether something here refers to the partition.
  static bool holds(const Partition& partition) { return !partition.tail().empty() || partition.of_shard.forgotten_batches > 0; }
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }  // thread-safe

 private:
  struct Batch {
    Partition* partition;
    uint32_t bytes;
  };

  void count(int64_t bytes) { bytes_.store(this->bytes() + static_cast<uint64_t>(bytes), std::memory_order_relaxed); }

  runtime::Runtime& runtime_;
  runtime::Loop& loop_;
  const uint64_t most_bytes_;
  Function<void()> evicted_;
  std::deque<Batch> batches_;       // in append order
  std::atomic<uint64_t> bytes_{0};  // written on the loop only
  bool evicting_ = false;           // goes on in another turn
  Lifetime lifetime_;
};

}  // namespace weir::storage
