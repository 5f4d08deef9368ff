#include "storage/log/recovered_partition.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/counted.h"
#include "base/log.h"
#include "storage/segment/segment_names.h"

namespace weir::storage {

namespace {

// Whether an append would refuse it today, for the epoch of its producer or of its coordinator.
bool is_outdated(const ProducerState& producers, BatchInfo info) {
  if (info.producer_id == kNoProducerId) return false;
  info.transaction_version = 0;  // the rule that every marker has passed
  const ProducerEntry* const entry = producers.find(info.producer_id);
  if (info.control()) return info.ends_transaction() && producers.check_marker(info).check != ProducerCheck::kAccept;
  return entry && info.producer_epoch < entry->producer_epoch;
}

}  // namespace

std::unique_ptr<Partition> recovered_partition(PartitionSnapshot snapshot, const LogConfig& config, int32_t leader_epoch,
                                               RecoveredTail tail, size_t producers_max) {
  auto partition = std::make_unique<Partition>(snapshot.manifest.partition, config, leader_epoch);
  partition->restore(std::move(snapshot.manifest), std::move(snapshot.producers));
  size_t outdated = 0;
  for (TailBatch& batch : tail.batches) {
    if (batch.info.last_offset() < partition->log_end_offset()) {
      partition->append_deleted(batch.info, batch.info.appended_ms);
    } else {
      if (is_outdated(partition->producers(), batch.info)) ++outdated;
      partition->append(batch.info, std::move(batch.bytes), batch.chunk, batch.info.appended_ms);
    }
    // Forgotten producers come back with their batches. ProducerBound bounds all partitions of a shard together later.
    while (partition->producers().size() > producers_max && partition->evict_producer() > 0) {
    }
  }
  // They were taken once, so they count. A producer that had been forgotten is known again from its row.
  if (outdated > 0) {
    log_warn("log", "Partition {}: {} of the write-ahead log from a producer or a coordinator with an older epoch than before",
             partition_folder_name(partition->id()), counted(outdated, "batch", "batches"));
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
