// The memory of a shard's tails. Batches leave it in the order in which all partitions' were appended, once they are checkpointed
// and there is more than its bound; dirty ones stay whatever it says. Those of a dropped partition go at once.
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
  // `evicted` is called at the end of each evict(), also of those that go on in another turn.
  TailCache(runtime::Runtime& runtime, runtime::Loop& loop, uint64_t most_bytes, Function<void()> evicted)
      : runtime_(runtime), loop_(loop), most_bytes_(most_bytes), evicted_(std::move(evicted)) {}
  ~TailCache() { lifetime_.end(); }

  void add(Partition& partition, uint32_t bytes);  // of a batch that it appended
  void add_all(Partition& partition);              // it is new here
  // Has checkpointed batches go, so many in one turn.
  void evict();
  // Forgets up to `most` of the partition's batches that are checkpointed and end at or below `offset`; true if there are more.
  bool forget(Partition& partition, int64_t offset, size_t most);
  // Of a dropped partition, all of it.
  void release(Partition& partition);
  // Whether something here refers to the partition.
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
