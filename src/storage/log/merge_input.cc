#include "storage/log/merge_input.h"

#include <algorithm>
#include <utility>

namespace weir::storage {

MergeInput::MergeInput(const Partition& partition, ChunkNumber up_to)
    : partition_(partition), up_to_(up_to), floor_(partition.manifest().end_offset) {
  input_.partition = partition.id();
  input_.log_start_offset = partition.pending_log_start();
  input_.segment_bytes = partition.config().segment_bytes;
  input_.segment_ms = partition.config().roll_ms();
  input_.expired_producers = partition.expired_producers();
}

// The producers as of the new floor, not as of now: rebuilt from the batches below it; the store completes the window
// of five from its previous row. State ahead of the floor would refuse what recovery replays. Batches that were
// deleted before they were merged count as well: nobody sees them again, yet a resend of them is a duplicate.
size_t MergeInput::add(size_t batches) {
  size_t added = 0;
  for (const TailBatch& batch : partition_.tail_from(floor_)) {
    if (added == batches) break;
    const bool merged = batch.chunk <= up_to_;
    if (!merged && batch.facts.last_offset() >= input_.log_start_offset) break;
    if (merged) input_.batches.push_back({batch.facts, batch.bytes});
    floor_ = batch.facts.next_offset();
    ++added;
    if (batch.facts.producer_id == kNoProducerId) continue;
    const ProducerEntry* current = partition_.producers().find(batch.facts.producer_id);
    // A forgotten producer has no row after this merge, though an earlier one may have left or removed it. A row that this merge
    // has begun is a whole one, and goes with the next.
    if (!current && !producers_.find(batch.facts.producer_id)) {
      input_.expired_producers.push_back(batch.facts.producer_id);
      continue;
    }
    producers_.update(batch.facts, current ? current->last_timestamp : batch.facts.max_timestamp);
  }
  return added;
}

MergePartition MergeInput::take() {
  for (const EpochStart& epoch : partition_.epochs()) {
    if (epoch.start_offset < floor_) input_.epochs.push_back(epoch);
  }
  for (const AbortedTransaction& one : partition_.state().aborted()) {
    if (one.last_offset < partition_.manifest().end_offset) continue;  // merged, and still in the tail
    if (one.last_offset >= floor_) break;
    // Of a marker that was deleted before it was merged nobody reads what it ended.
    if (one.last_offset >= input_.log_start_offset) input_.aborted.push_back(one);
  }
  for (const ProducerEntry& entry : producers_.entries()) input_.producers.push_back(entry);
  std::ranges::sort(input_.producers, {}, &ProducerEntry::producer_id);
  std::ranges::sort(input_.expired_producers);
  const auto twice = std::ranges::unique(input_.expired_producers);
  input_.expired_producers.erase(twice.begin(), twice.end());
  return std::move(input_);
}

}  // namespace weir::storage
