#include "storage/log/partition.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "storage/segment/checkpoint_plan.h"

namespace weir::storage {

Partition::Partition(PartitionId id, LogConfig config, int32_t leader_epoch)
    : id_(id), config_(config), leader_epoch_(leader_epoch), state_(leader_epoch) {
  manifest_.partition = id;
  take_rows();
}

uint64_t Partition::size_bytes() const {
  uint64_t total = 0;
  for (const SegmentInfo& segment : manifest_.segments) total += segment.length;
  for (const SegmentInfo& segment : tail_segments_) total += segment.length;
  return total;
}

EpochStart Partition::epoch_end(int32_t epoch) const {
  // The current epoch has an entry only once a batch was appended in it; it starts at the log end until then.
  if (epoch < 0 || epoch > leader_epoch_) return {-1, -1};
  if (epoch == leader_epoch_) return {epoch, high_watermark_};
  const auto& epochs = state_.epochs();
  const auto next = std::upper_bound(epochs.begin(), epochs.end(), epoch,
                                     [](int32_t value, const EpochStart& entry) { return value < entry.epoch; });
  const int64_t end = next == epochs.end() ? high_watermark_ : next->start_offset;
  // Nothing of the epoch is left, nor of those before it.
  if (next != epochs.end() && end <= log_start_offset_) return {epoch, log_start_offset_};
  return {next == epochs.begin() ? epoch : std::prev(next)->epoch, end};
}

size_t Partition::tail_index(int64_t offset) const {
  const auto it = std::lower_bound(tail_.begin() + static_cast<ptrdiff_t>(tail_head_), tail_.end(), offset,
                                   [](const TailBatch& batch, int64_t value) { return batch.info.last_offset() < value; });
  return static_cast<size_t>(it - tail_.begin());
}

Partition::TailRead Partition::read_tail(int64_t offset, uint64_t max_bytes, bool at_least_one, int64_t limit_offset,
                                         std::vector<FetchPiece>& pieces) const {
  TailRead read{0, offset};
  for (size_t i = tail_index(offset); i < tail_.size(); ++i) {
    const TailBatch& batch = tail_[i];
    if (batch.info.last_offset() >= limit_offset) break;
    const bool first = read.bytes == 0;
    if (read.bytes + batch.bytes.size > max_bytes && !(first && at_least_one)) break;
    read.bytes += batch.bytes.size;
    read.next_offset = batch.info.next_offset();
    // Batches that lie next to each other in a chunk go out as one piece.
    if (!first) {
      if (auto* last = std::get_if<Slice>(&pieces.back());
          last && last->owner.same(batch.bytes.owner) && last->data + last->size == batch.bytes.data) {
        last->size += batch.bytes.size;
        continue;
      }
    }
    pieces.emplace_back(batch.bytes);
  }
  return read;
}

void Partition::restore(PartitionManifest manifest, std::vector<ProducerEntry> producers) {
  log_start_offset_ = pending_log_start_ = manifest.log_start_offset;
  state_.restore(std::max(manifest.end_offset, manifest.log_start_offset), manifest.epochs, std::move(producers));
  manifest_ = std::move(manifest);
  take_rows();
}

void Partition::append(const BatchInfo& info, Slice bytes, ChunkNumber chunk, int64_t time_ms) {
  state_.apply(info, time_ms);
  last_append_chunk_ = chunk;
  push_tail({info, std::move(bytes), chunk});
}

size_t Partition::expire_producers(int64_t before) {
  const std::vector<int64_t> expired = state_.producers().expire(before, manifest_.end_offset);
  expired_producers_.insert(expired_producers_.end(), expired.begin(), expired.end());
  return expired.size();
}

size_t Partition::evict_producer() {
  const auto evicted = state_.producers().evict(manifest_.end_offset);
  if (evicted) expired_producers_.push_back(*evicted);
  return evicted ? 1 : 0;
}

void Partition::push_tail(TailBatch batch) {
  WEIR_CHECK(tail_.size() == tail_head_ || tail_.back().info.next_offset() <= batch.info.base_offset);
  extend_tail_segments(batch);
  tail_bytes_ += batch.info.size;
  tail_.push_back(std::move(batch));
}

void Partition::extend_tail_segments(const TailBatch& batch) {
  const auto rolls = [&](const SegmentInfo& active) {
    // A segment that is about to be deleted goes without this batch.
    return active.next_offset <= pending_log_start_ || must_roll(active, batch.info, config_.segment_bytes, config_.roll_ms());
  };
  const bool first = tail_segments_.empty();
  if (first) tail_continues_ = !manifest_.segments.empty() && !rolls(manifest_.segments.back());
  if (first || rolls(tail_segment(tail_segments_.size() - 1))) {
    tail_segments_.push_back(begin_segment(batch.info));
  }
  extend_segment(tail_segments_.back(), batch.info);
}

SegmentInfo Partition::tail_segment(size_t i) const {
  SegmentInfo segment = tail_segments_[i];
  if (i > 0 || !tail_continues_) return segment;
  const SegmentInfo& checkpointed = manifest_.segments.back();
  segment.base_offset = checkpointed.base_offset;
  segment.length += checkpointed.length;
  segment.max_timestamp = std::max(segment.max_timestamp, checkpointed.max_timestamp);
  segment.first_timestamp = checkpointed.first_timestamp;
  segment.created_ms = checkpointed.created_ms;
  segment.modified_ms = std::max(segment.modified_ms, checkpointed.modified_ms);
  segment.times_known = checkpointed.times_known;
  return segment;
}

// Checkpointed and deleted batches leave the tail's segments. The rest of a segment that is checkpointed in part continues the
// manifest's last.
void Partition::take_manifest(PartitionManifest manifest) {
  ++manifests_taken_;
  manifest_ = std::move(manifest);
  take_rows();
  const int64_t recovery_point = manifest_.end_offset;
  const auto left = std::ranges::find_if(tail_segments_, [&](const SegmentInfo& segment) {
    return segment.next_offset > std::max(recovery_point, manifest_.log_start_offset);
  });
  if (left != tail_segments_.begin()) tail_continues_ = false;
  tail_segments_.erase(tail_segments_.begin(), left);
  if (!tail_segments_.empty() && tail_segments_.front().base_offset < recovery_point) {
    SegmentInfo& front = tail_segments_.front();
    const int64_t end = front.next_offset;
    size_t i = tail_index(recovery_point);
    front = begin_segment(tail_[i].info);
    for (; i < tail_.size() && tail_[i].info.base_offset < end; ++i) extend_segment(front, tail_[i].info);
    tail_continues_ = true;
  }
  if (manifest_.segments.empty()) tail_continues_ = false;
  forget_aborted();
}

void Partition::forget_aborted() { state_.forget_aborted_before(std::min(manifest_.end_offset, tail_start())); }

void Partition::take_whole_checkpoint(PartitionManifest manifest) {
  take_manifest(std::move(manifest));
  last_append_chunk_ = 0;
  release_tail();
}

bool Partition::adopt(PartitionManifest manifest) {
  take_manifest(std::move(manifest));
  if (manifest_.log_start_offset <= log_start_offset_) return false;
  log_start_offset_ = manifest_.log_start_offset;
  state_.forget_epochs_before(log_start_offset_);
  return true;
}

// Others may have been forgotten while it ran.
void Partition::end_checkpoint() {
  expired_producers_.erase(expired_producers_.begin(), expired_producers_.begin() + static_cast<ptrdiff_t>(expiring_producers_));
  expiring_producers_ = 0;
}

std::vector<TailBatch> Partition::release_tail() {
  tail_head_ = tail_bytes_ = 0;
  std::vector<TailBatch> released = std::exchange(tail_, {});
  forget_aborted();
  return released;
}

void Partition::pop_tail() {
  WEIR_CHECK(tail_head_ < tail_.size());
  tail_[tail_head_].bytes = {};
  tail_bytes_ -= tail_[tail_head_].info.size;
  ++tail_head_;
  if (tail_head_ == tail_.size()) {
    tail_.clear();
    tail_head_ = 0;
    if (tail_.capacity() > 16) tail_.shrink_to_fit();
  } else if (tail_head_ >= 64 && tail_head_ * 2 >= tail_.size()) {
    tail_.erase(tail_.begin(), tail_.begin() + static_cast<ptrdiff_t>(tail_head_));
    tail_head_ = 0;
  }
  forget_aborted();
}

void Partition::add_waiter(uint64_t id, bool stable, Function<void()> wake) {
  waiters_.push_back({id, stable ? last_stable_offset() : kAnyMove, std::move(wake)});
}

void Partition::remove_waiter(uint64_t id) {
  std::erase_if(waiters_, [id](const Waiter& waiter) { return waiter.id == id; });
}

void Partition::wake_readers() {
  if (waiters_.empty()) return;
  std::vector<Waiter> due;
  for (Waiter& waiter : std::exchange(waiters_, {})) {
    (waiter.stable_offset == last_stable_offset() ? waiters_ : due).push_back(std::move(waiter));
  }
  for (Waiter& waiter : due) waiter.wake();
}

void Partition::wake_all() {
  for (Waiter& waiter : std::exchange(waiters_, {})) waiter.wake();
}

}  // namespace weir::storage
