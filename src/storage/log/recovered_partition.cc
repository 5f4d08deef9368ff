#include "storage/log/recovered_partition.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace weir::storage {

std::unique_ptr<Partition> recovered_partition(PartitionSnapshot snapshot, const LogConfig& config, int32_t leader_epoch,
                                               RecoveredTail tail, size_t producers_max) {
  auto partition = std::make_unique<Partition>(snapshot.manifest.partition, config, leader_epoch);
  partition->restore(std::move(snapshot.manifest), std::move(snapshot.producers));
  for (TailBatch& batch : tail.batches) {
    if (batch.info.last_offset() < partition->log_end_offset()) {
      partition->append_deleted(batch.info, batch.info.appended_ms);
    } else {
      partition->append(batch.info, std::move(batch.bytes), batch.chunk, batch.info.appended_ms);
    }
    // Forgotten producers come back with their batches. ProducerBound bounds all partitions of a shard together later.
    while (partition->producers().size() > producers_max && partition->evict_producer() > 0) {
    }
  }
  partition->advance_high_watermark(partition->log_end_offset());
  if (!tail.offline_reason.empty()) partition->take_offline(std::move(tail.offline_reason));
  return partition;
}

PartitionSnapshot snapshot_of(const Partition& partition) {
  WEIR_CHECK(!partition.has_dirty_batches());
  PartitionSnapshot snapshot{partition.manifest(), {}};
  const auto& producers = partition.producers().entries();
  snapshot.producers.assign(producers.begin(), producers.end());
  std::ranges::sort(snapshot.producers, {}, &ProducerEntry::producer_id);
  return snapshot;
}

}  // namespace weir::storage
