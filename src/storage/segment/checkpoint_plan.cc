#include "storage/segment/checkpoint_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "storage/segment/aborted_index.h"
#include "storage/segment/segment_names.h"
#include "storage/segment/stored_batch.h"

namespace weir::storage {

namespace {

// Kafka reads segment files with 32 bit positions.
constexpr uint64_t kMaxSegmentBytes = std::numeric_limits<int32_t>::max();

Result<void> check_batch(const CheckpointPartition& checkpoint, const CheckpointPartition::Batch& batch,
                         int64_t expected_offset) {
  const auto header = parse_stored_header(batch.bytes.bytes());
  const BatchInfo& info = batch.info;
  if (header && header->size() == batch.bytes.size && info.size == batch.bytes.size && header->base_offset == info.base_offset &&
      header->last_offset_delta == info.last_offset_delta && info.base_offset >= expected_offset &&
      info.partition == checkpoint.partition) {
    return {};
  }
  return fail(ErrorCode::kInvalid,
              fmt::format("checkpoint of {}: batch at offset {} of {} bytes does not "
                          "continue the log at {} or contradicts its description",
                          partition_folder_name(checkpoint.partition), info.base_offset, batch.bytes.size, expected_offset));
}

// Returns the aborted transactions, from number `next` on, whose marker is the batch. Moves `next` behind them.
Result<std::span<const AbortedTransaction>> take_aborted(const CheckpointPartition& checkpoint, const BatchInfo& batch,
                                                         size_t& next) {
  const size_t first = next;
  bool sound = true;
  while (next < checkpoint.aborted.size() && checkpoint.aborted[next].last_offset < batch.next_offset()) {
    const AbortedTransaction& entry = checkpoint.aborted[next++];
    sound = sound && batch.control_type == BatchInfo::kAbort && entry.producer_id == batch.producer_id &&
            entry.last_offset == batch.last_offset() && entry.first_offset >= 0 && entry.first_offset <= entry.last_offset &&
            entry.producer_id >= 0 && entry.last_stable_offset >= 0;
  }
  if (sound && next - first <= 1) return std::span(checkpoint.aborted).subspan(first, next - first);
  return fail(ErrorCode::kInvalid,
              fmt::format("checkpoint of {}: the batch at offset {} is not the marker of an aborted transaction",
                          partition_folder_name(checkpoint.partition), batch.base_offset));
}

// Hands the entries of a complete or well-filled segment over to be written.
void write_pending(CheckpointPlan& plan, const IndexSpacing& spacing, const SegmentInfo& segment) {
  PendingIndex& pending = plan.pending;
  if (segment.length >= spacing.write_bytes && !pending.entries.empty()) {
    plan.index_writes.push_back({pending.base_offset, segment.generation, segment.directory, std::move(pending.entries)});
    pending.entries.clear();
    pending.unindexed_bytes = 0;
  }
}

void note_in_index(CheckpointPlan& plan, const IndexSpacing& spacing, const SegmentInfo& segment, const BatchInfo& batch) {
  PendingIndex& pending = plan.pending;
  if (pending.base_offset != segment.base_offset) {
    pending = PendingIndex{};
    pending.base_offset = segment.base_offset;
    pending.has_entry = segment.length == 0;  // the start of the file needs none
  }
  if (!pending.has_entry || segment.length - pending.last_position >= spacing.entry_bytes) {
    pending.entries.push_back({batch.base_offset, segment.length, segment.max_timestamp});
    pending.last_position = segment.length;
    pending.has_entry = true;
  }
  pending.unindexed_bytes += batch.size;
}

void drop_old_segments(CheckpointPlan& plan) {
  auto& segments = plan.after.segments;
  size_t gone = 0;
  while (gone < segments.size() && segments[gone].next_offset <= plan.after.log_start_offset) ++gone;
  for (size_t i = 0; i < gone; ++i) {
    plan.dropped.push_back(segments[i].base_offset);
    if (plan.pending.base_offset == segments[i].base_offset) plan.pending = PendingIndex{};
    std::erase_if(plan.index_writes, [&](const IndexWrite& write) { return write.base_offset == segments[i].base_offset; });
  }
  segments.erase(segments.begin(), segments.begin() + static_cast<ptrdiff_t>(gone));
  plan.first_changed -= std::min(plan.first_changed, gone);
}

}  // namespace

bool must_roll(const SegmentInfo& active, const BatchInfo& batch, uint64_t segment_bytes, int64_t segment_ms) {
  if (active.length == 0) return false;
  if (!active.times_known) return true;  // it may be written anew meanwhile
  if (active.aborted >= kAbortedPerSegment) return true;
  if (active.length + batch.size > std::min(segment_bytes, kMaxSegmentBytes)) return true;
  if (batch.last_offset() - active.base_offset > std::numeric_limits<int32_t>::max()) return true;
  const int64_t age = active.first_timestamp >= 0 ? ms_between(active.first_timestamp, batch.max_timestamp)
                                                  : ms_between(active.created_ms, batch.appended_ms);
  return age > segment_ms;
}

SegmentInfo begin_segment(const BatchInfo& batch) {
  SegmentInfo segment;
  segment.base_offset = segment.next_offset = batch.base_offset;
  segment.first_timestamp = batch.max_timestamp;
  segment.created_ms = batch.appended_ms;
  segment.times_known = true;
  return segment;
}

void extend_segment(SegmentInfo& segment, const BatchInfo& batch) {
  segment.length += batch.size;
  segment.max_timestamp = std::max(segment.max_timestamp, batch.max_timestamp);
  segment.next_offset = batch.next_offset();
  segment.modified_ms = std::max(segment.modified_ms, batch.appended_ms);
}

Result<CheckpointPlan> plan_checkpoint(const PartitionManifest& before, const CheckpointPartition& checkpoint,
                                       const PendingIndex& pending, const IndexSpacing& spacing, int64_t damaged_segment) {
  CheckpointPlan plan;
  plan.after = before;
  plan.pending = pending;
  plan.after.epochs = checkpoint.epochs;
  plan.after.log_start_offset = std::max(before.log_start_offset, checkpoint.log_start_offset);
  auto& segments = plan.after.segments;
  plan.first_changed = segments.size();
  size_t next_aborted = 0;
  for (size_t i = 0; i < checkpoint.batches.size(); ++i) {
    const auto& batch = checkpoint.batches[i];
    if (auto sound = check_batch(checkpoint, batch, plan.after.end_offset); !sound)
      return std::unexpected(std::move(sound.error()));
    plan.after.end_offset = batch.info.next_offset();
    const size_t first_aborted = next_aborted;
    const auto aborted = take_aborted(checkpoint, batch.info, next_aborted);
    if (!aborted) return std::unexpected(aborted.error());
    // A batch that was deleted before its checkpoint is not written. The batch behind it begins a new segment.
    if (batch.info.next_offset() <= plan.after.log_start_offset) continue;
    // A segment that is to move elsewhere gets no more batches.
    const bool roll = segments.empty() || segments.back().base_offset == damaged_segment ||
                      segments.back().directory != plan.after.place.target ||
                      segments.back().next_offset <= plan.after.log_start_offset ||
                      must_roll(segments.back(), batch.info, checkpoint.segment_bytes, checkpoint.segment_ms);
    if (roll) {
      if (!segments.empty()) write_pending(plan, spacing, segments.back());
      segments.push_back(begin_segment(batch.info));
      segments.back().directory = plan.after.place.target;
    }
    SegmentInfo& active = segments.back();
    if (plan.writes.empty() || plan.writes.back().base_offset != active.base_offset) {
      plan.writes.push_back({active.base_offset, active.length, roll, active.generation, active.directory, i, 0, 0,
                             active.aborted, first_aborted, 0});
      plan.first_changed = std::min(plan.first_changed, segments.size() - 1);
    }
    note_in_index(plan, spacing, active, batch.info);
    ++plan.writes.back().batch_count;
    plan.writes.back().bytes += batch.info.size;
    plan.writes.back().aborted_count += aborted->size();
    add_aborted(active, *aborted);
    extend_segment(active, batch.info);
  }
  if (next_aborted < checkpoint.aborted.size()) {
    return fail(ErrorCode::kInvalid,
                fmt::format("checkpoint of {}: the marker of an aborted transaction at offset {} is not in it",
                            partition_folder_name(checkpoint.partition), checkpoint.aborted[next_aborted].last_offset));
  }
  if (plan.pending.unindexed_bytes >= spacing.write_bytes) write_pending(plan, spacing, segments.back());
  drop_old_segments(plan);
  return plan;
}

}  // namespace weir::storage
