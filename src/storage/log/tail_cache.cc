#include "storage/log/tail_cache.h"

#include <algorithm>
#include <vector>

#include "storage/log/turns.h"

namespace weir::storage {

void TailCache::add(Partition& partition, uint32_t bytes) {
  batches_.push_back({&partition, bytes});
  count(bytes);
}

void TailCache::add_all(Partition& partition) {
  for (const TailBatch& batch : partition.tail()) add(partition, batch.info.size);
}

void TailCache::evict() {
  size_t work = 0;
  while (!batches_.empty()) {
    if (++work > kBatchesPerTurn) {
      if (std::exchange(evicting_, true)) break;
      loop_.post([this, alive = lifetime_.observe()] {
        if (!alive) return;
        evicting_ = false;
        evict();
      });
      break;
    }
    Partition& partition = *batches_.front().partition;
    if (partition.of_shard.forgotten_batches > 0) {
      --partition.of_shard.forgotten_batches;
      batches_.pop_front();
      continue;
    }
    if (bytes() <= most_bytes_) break;
    if (partition.tail().front().info.last_offset() >= partition.manifest().end_offset) break;  // not checkpointed yet
    count(-int64_t{batches_.front().bytes});
    batches_.pop_front();
    partition.pop_tail();
  }
  evicted_();
}

bool TailCache::forget(Partition& partition, int64_t offset, size_t most) {
  const int64_t end = std::min(offset, partition.manifest().end_offset);
  for (size_t work = 0; work < most; ++work) {
    if (partition.tail().empty() || partition.tail().front().info.last_offset() >= end) return false;
    count(-int64_t{partition.tail().front().info.size});
    partition.pop_tail();
    ++partition.of_shard.forgotten_batches;
  }
  return true;
}

// The tail may be long, so the pool frees it.
void TailCache::release(Partition& partition) {
  count(-static_cast<int64_t>(partition.tail_bytes()));
  partition.of_shard.forgotten_batches += static_cast<uint32_t>(partition.tail().size());
  auto tail = std::make_shared<std::vector<TailBatch>>(partition.release_tail());
  if (!tail->empty()) runtime_.pool->submit([tail] { tail->clear(); }, loop_, [] {});
}

}  // namespace weir::storage
