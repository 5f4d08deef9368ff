#include "storage/log/checkpoint_input.h"

#include <algorithm>
#include <utility>

namespace weir::storage {

CheckpointInput::CheckpointInput(Partition& partition, ChunkNumber up_to)
    : partition_(partition), up_to_(up_to), recovery_point_(partition.manifest().end_offset) {
  input_.partition = partition.id();
  input_.log_start_offset = partition.pending_log_start();
  input_.segment_bytes = partition.config().segment_bytes;
  input_.segment_ms = partition.config().roll_ms();
  input_.expired_producers = partition.expired_producers();
}

// Batches that were deleted before their checkpoint count as well. Nobody sees them again, but a resend of them is a duplicate.
size_t CheckpointInput::add(size_t batches) {
  size_t added = 0;
  for (const TailBatch& batch : partition_.tail_from(recovery_point_)) {
    if (added == batches) break;
    const bool checkpointed = batch.chunk <= up_to_;
    if (!checkpointed && batch.info.last_offset() >= input_.log_start_offset) break;
    if (checkpointed) input_.batches.push_back({batch.info, batch.bytes});
    recovery_point_ = batch.info.next_offset();
    ++added;
    add_producer(batch.info);
  }
  return added;
}

void CheckpointInput::add_producer(const BatchInfo& info) {
  if (info.producer_id == kNoProducerId) return;
  const ProducerState& producers = partition_.producers();
  if (info.last_offset() < producers.rows_stored_as_of()) return;  // deleted, and counted when the log start moved
  const ProducerEntry* current = producers.find(info.producer_id);
  if (!rows_.find(info.producer_id)) {
    // A forgotten producer has no row after this checkpoint, though an earlier one may have left or removed it. A row that this
    // checkpoint has begun is a whole one, and goes with the next.
    if (!current) return input_.expired_producers.push_back(info.producer_id);
    rows_.restore({producers.stored_row(info.producer_id)});
  }
  rows_.update(info, current ? current->last_timestamp : info.max_timestamp);
}

CheckpointPartition CheckpointInput::take() {
  for (const EpochStart& epoch : partition_.epochs()) {
    if (epoch.start_offset < recovery_point_) input_.epochs.push_back(epoch);
  }
  for (const AbortedTransaction& one : partition_.state().aborted()) {
    if (one.last_offset < partition_.manifest().end_offset) continue;  // checkpointed, and still in the tail
    if (one.last_offset >= recovery_point_) break;
    // If a marker was deleted before its checkpoint, nobody reads the records of its transaction.
    if (one.last_offset >= input_.log_start_offset) input_.aborted.push_back(one);
  }
  for (const ProducerEntry& entry : rows_.entries()) input_.producers.push_back(entry);
  std::ranges::sort(input_.producers, {}, &ProducerEntry::producer_id);
  std::ranges::sort(input_.expired_producers);
  const auto twice = std::ranges::unique(input_.expired_producers);
  input_.expired_producers.erase(twice.begin(), twice.end());
  partition_.rows_are_written(std::max(recovery_point_, input_.log_start_offset), input_.producers);
  return std::move(input_);
}

}  // namespace weir::storage
