// One partition's log as its shard sees it: offsets, producers, leader epochs, the tail in memory and the manifest of
// the checkpointed part. Used on the owning shard's loop only. LogShard drives it; handlers read its offsets.
//
// Offsets:  log_start <= last_stable <= high_watermark <= log_end
//   high_watermark  everything below is durable; readers see nothing else
//   log_end         next offset to assign; speculative, ahead of durability
// The tail holds [tail_start, log_end) in memory: at least everything that is not checkpointed (>= manifest.end_offset).
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/buffer.h"
#include "base/function.h"
#include "protocol/errors.h"
#include "storage/log/log_config.h"
#include "storage/log/partition_state.h"
#include "storage/log/partition_traffic.h"
#include "storage/segment/segment_store.h"
#include "storage/types.h"
#include "storage/wal/wal.h"

namespace weir::storage {

// A batch in the tail.
struct TailBatch {
  BatchInfo info;
  Slice bytes;
  ChunkNumber chunk = 0;
};

// What a fetch sends, in order: memory of the tail or a resident file range.
using FetchPiece = StoredBytes;

class Partition {
 public:
  Partition(PartitionId id, LogConfig config, int32_t leader_epoch);

  const PartitionId& id() const { return id_; }
  const LogConfig& config() const { return config_; }
  void set_config(const LogConfig& config) { config_ = config; }
  int32_t leader_epoch() const { return leader_epoch_; }

  int64_t log_start_offset() const { return log_start_offset_; }
  int64_t high_watermark() const { return high_watermark_; }
  // Below it all transactions are decided, durably; readers of committed records see nothing else.
  int64_t last_stable_offset() const {
    return std::max(log_start_offset_, std::min(high_watermark_, state_.first_unstable_offset()));
  }
  int64_t log_end_offset() const { return state_.end_offset(); }
  const std::vector<EpochStart>& epochs() const { return state_.epochs(); }
  const ProducerState& producers() const { return state_.producers(); }
  const PartitionState& state() const { return state_; }
  const PartitionManifest& manifest() const { return manifest_; }
  // Grows with each manifest that is taken: files that the earlier ones named may be gone.
  uint64_t manifests_taken() const { return manifests_taken_; }
  // Kafka's segments of this log, oldest first: those of the manifest, then those that the tail will be once it is checkpointed.
  // `visit` says whether to go on.
  template <typename Visitor>
  void for_each_segment(Visitor visit) const {
    const auto& checkpointed = manifest_.segments;
    for (size_t i = 0; i + (tail_continues_ ? 1 : 0) < checkpointed.size(); ++i) {
      if (!visit(checkpointed[i])) return;
    }
    for (size_t i = 0; i < tail_segments_.size(); ++i) {
      if (!visit(tail_segment(i))) return;
    }
  }
  size_t segment_count() const { return manifest_.segments.size() + tail_segments_.size() - (tail_continues_ ? 1 : 0); }
  uint64_t size_bytes() const;  // of all segments
  // Where the log start goes with the next manifest commit; log_start_offset() if nowhere.
  int64_t pending_log_start() const { return pending_log_start_; }
  const PartitionTraffic& traffic() const { return traffic_; }
  PartitionTraffic& traffic() { return traffic_; }

  // Taken offline by corruption of acknowledged data; reads and writes answer KAFKA_STORAGE_ERROR.
  bool offline() const { return !offline_reason_.empty(); }
  const std::string& offline_reason() const { return offline_reason_; }

  // End offset of the largest epoch <= `epoch` (OffsetForLeaderEpoch): {-1, -1} if there is none.
  EpochStart epoch_end(int32_t epoch) const;
  int32_t epoch_at(int64_t offset) const { return state_.epoch_at(offset); }

  // First offset that is in memory; log_end_offset() if nothing is.
  int64_t tail_start() const { return tail_.empty() ? log_end_offset() : tail_[tail_head_].info.base_offset; }
  // Batches in memory, from the one that contains `offset` on.
  std::span<const TailBatch> tail() const { return std::span(tail_).subspan(tail_head_); }
  std::span<const TailBatch> tail_from(int64_t offset) const { return std::span(tail_).subspan(tail_index(offset)); }
  uint64_t tail_bytes() const { return tail_bytes_; }
  ChunkNumber last_append_chunk() const { return last_append_chunk_; }

  // Appends to `pieces` whole durable batches from the one that contains `offset` (>= tail_start()) on, up to
  // `max_bytes`, at least one if `at_least_one`; nothing at or past `limit_offset`.
  struct TailRead {
    uint64_t bytes = 0;       // added
    int64_t next_offset = 0;  // after the last batch; `offset` if there is none
  };
  TailRead read_tail(int64_t offset, uint64_t max_bytes, bool at_least_one, int64_t limit_offset,
                     std::vector<FetchPiece>& pieces) const;

  // At a start: restore(), then append() of the batches above the recovery point, in order, then advance_high_watermark().
  void restore(PartitionManifest manifest, std::vector<ProducerEntry> producers);
  // Appends a batch, which is at or beyond the end and lies in `chunk`. Replay does so again.
  void append(const BatchInfo& info, Slice bytes, ChunkNumber chunk, int64_t time_ms);
  // Instead of append: its records were deleted before they were checkpointed.
  void append_deleted(const BatchInfo& info, int64_t time_ms) { state_.apply(info, time_ms); }
  // Everything below `offset` is durable.
  void advance_high_watermark(int64_t offset) {
    high_watermark_ = std::max(high_watermark_, offset);
    state_.note_durable(high_watermark_);
  }
  // Has the next manifest commit move the log start, if it is not further already.
  void move_log_start(int64_t offset) { pending_log_start_ = std::max(pending_log_start_, offset); }
  bool has_dirty_batches() const { return !tail_.empty() && tail_.back().info.base_offset >= manifest_.end_offset; }
  // A segment is complete, and not or not all of it checkpointed.
  bool rolled() const { return tail_segments_.size() > (tail_continues_ || manifest_.segments.empty() ? 1 : 0); }
  bool changes_manifest() const { return pending_log_start_ > log_start_offset_ || !expired_producers_.empty(); }
  // A checkpoint begins, or has ended: the producers that were forgotten before it are not in its manifest.
  void begin_checkpoint() { expiring_producers_ = expired_producers_.size(); }
  // The rows of a checkpoint that begins; see ProducerState.
  void rows_are_written(int64_t as_of, std::span<const ProducerEntry> rows) { state_.producers().rows_are_written(as_of, rows); }
  void end_checkpoint();
  // Takes a committed manifest. Returns true if the log start moved.
  bool adopt(PartitionManifest manifest);
  void set_place(PartitionPlace place) { manifest_.place = place; }
  // All of it is checkpointed, and nothing stays in memory.
  void take_whole_checkpoint(PartitionManifest manifest);
  // Forgets the oldest batch in memory, or all of them; checkpointed ones, unless nobody will ask for them.
  void pop_tail();
  std::vector<TailBatch> release_tail();

  // These forget producers, whose rows go with the next checkpoint: those without a batch since `before`, at most
  // ProducerState::kExpiredAtOnce; or the oldest one. They return how many.
  size_t expire_producers(int64_t before);
  size_t evict_producer();
  const std::vector<int64_t>& expired_producers() const { return expired_producers_; }

  void take_offline(std::string reason) { offline_reason_ = std::move(reason); }

  // Readers that wait; see LogShard::add_waiter. `stable` waits for the last stable offset.
  void add_waiter(uint64_t id, bool stable, Function<void()> wake);
  void remove_waiter(uint64_t id);
  void wake_readers();  // the high watermark moved
  void wake_all();

  // What the parts of the owning shard note of it.
  struct ShardNotes {
    static constexpr size_t kUnlisted = SIZE_MAX;
    size_t place = kUnlisted;         // in the list of all
    size_t dirty_place = kUnlisted;   // in that of those with dirty batches or a manifest change
    uint64_t planned_checkpoint = 0;  // the last checkpoint that was asked what there is of it
    bool checkpoint_early = false;    // compacted, and rolled()
    bool dropped = false;             // deleted topic, or released; lives until nothing refers to it
    bool releasing = false;           // goes to another owner, or is there
    bool in_transaction = false;      // listed among those with open transactions
    uint32_t store_changes = 0;       // replacements of its segments and changes of its place that the store was asked for
    uint32_t forgotten_batches = 0;   // gone from the tail, while the tail cache still counts them
  };
  ShardNotes of_shard;

 private:
  // Index into tail_ of the batch that contains `offset`, or tail_.size().
  size_t tail_index(int64_t offset) const;
  void push_tail(TailBatch batch);
  void extend_tail_segments(const TailBatch& batch);
  SegmentInfo tail_segment(size_t i) const;
  void take_manifest(PartitionManifest manifest);
  // What was deleted before it was checkpointed has had its rows with the move of the log start.
  void take_rows() { state_.producers().rows_are_stored(std::max(manifest_.end_offset, manifest_.log_start_offset)); }
  void forget_aborted();  // whose markers are checkpointed, and left the tail: readers of the tail know only those of memory

  PartitionId id_;
  LogConfig config_;
  int32_t leader_epoch_ = 0;
  int64_t log_start_offset_ = 0;
  int64_t high_watermark_ = 0;
  ChunkNumber last_append_chunk_ = 0;
  PartitionManifest manifest_;
  uint64_t manifests_taken_ = 0;
  PartitionState state_;
  std::vector<TailBatch> tail_;  // [tail_head_, size) are live; compacted now and then
  size_t tail_head_ = 0;
  uint64_t tail_bytes_ = 0;
  // The part that is not checkpointed, in segments where Kafka would have rolled them, so that retention reaches it. If
  // `tail_continues_` the first one is the end of the manifest's last segment.
  std::vector<SegmentInfo> tail_segments_;
  bool tail_continues_ = false;
  int64_t pending_log_start_ = 0;           // where the log start goes with the next manifest commit
  std::vector<int64_t> expired_producers_;  // to be deleted from the manifest at the next checkpoint
  size_t expiring_producers_ = 0;           // so many of them, the first ones, are part of the checkpoint under way
  std::string offline_reason_;
  PartitionTraffic traffic_;

  static constexpr int64_t kAnyMove = -1;
  struct Waiter {
    uint64_t id;
    int64_t stable_offset;  // not woken while this is the last stable offset
    Function<void()> wake;
  };
  std::vector<Waiter> waiters_;
};

}  // namespace weir::storage
