#include "storage/log/partition.h"

#include <algorithm>

#include "base/check.h"

namespace weir::storage {

Partition::Partition(PartitionId id, LogConfig config, int32_t leader_epoch)
    : id_(id), config_(config), leader_epoch_(leader_epoch) {
  manifest_.partition = id;
}

uint64_t Partition::size_bytes() const {
  uint64_t total = unmerged_bytes_;
  for (const SegmentInfo& segment : manifest_.segments) total += segment.length;
  return total;
}

EpochStart Partition::epoch_end(int32_t epoch) const {
  // The current epoch has an entry only once a batch was appended in it; it starts at the log end until then.
  if (epoch < 0 || epoch > leader_epoch_) return {-1, -1};
  if (epoch == leader_epoch_) return {epoch, high_watermark_};
  const auto next = std::upper_bound(epochs_.begin(), epochs_.end(), epoch,
                                     [](int32_t value, const EpochStart& entry) { return value < entry.epoch; });
  const int64_t end = next == epochs_.end() ? high_watermark_ : next->start_offset;
  // Nothing of the epoch is left, nor of those before it.
  if (next != epochs_.end() && end <= log_start_offset_) return {epoch, log_start_offset_};
  return {next == epochs_.begin() ? epoch : std::prev(next)->epoch, end};
}

int32_t Partition::epoch_at(int64_t offset) const {
  const auto next = std::upper_bound(epochs_.begin(), epochs_.end(), offset,
                                     [](int64_t value, const EpochStart& entry) { return value < entry.start_offset; });
  return next == epochs_.begin() ? -1 : std::prev(next)->epoch;
}

size_t Partition::tail_index(int64_t offset) const {
  const auto it = std::lower_bound(tail_.begin() + static_cast<ptrdiff_t>(tail_head_), tail_.end(), offset,
                                   [](const TailBatch& batch, int64_t value) { return batch.facts.last_offset() < value; });
  return static_cast<size_t>(it - tail_.begin());
}

uint64_t Partition::read_tail(int64_t offset, uint64_t max_bytes, bool at_least_one, int64_t limit_offset,
                              std::vector<FetchPiece>& pieces) const {
  uint64_t total = 0;
  for (size_t i = tail_index(offset); i < tail_.size(); ++i) {
    const TailBatch& batch = tail_[i];
    if (batch.facts.last_offset() >= limit_offset) break;
    const bool first = total == 0;
    if (total + batch.bytes.size > max_bytes && !(first && at_least_one)) break;
    total += batch.bytes.size;
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
  return total;
}

void Partition::push_tail(TailBatch batch) {
  WEIR_CHECK(tail_.size() == tail_head_ || tail_.back().facts.next_offset() <= batch.facts.base_offset);
  tail_.push_back(std::move(batch));
  ++cached_batches_;
}

void Partition::pop_tail() {
  WEIR_CHECK(tail_head_ < tail_.size());
  tail_[tail_head_].bytes = {};
  ++tail_head_;
  --cached_batches_;
  if (tail_head_ == tail_.size()) {
    tail_.clear();
    tail_head_ = 0;
    if (tail_.capacity() > 16) tail_.shrink_to_fit();
  } else if (tail_head_ >= 64 && tail_head_ * 2 >= tail_.size()) {
    tail_.erase(tail_.begin(), tail_.begin() + static_cast<ptrdiff_t>(tail_head_));
    tail_head_ = 0;
  }
}

void Partition::note_epoch(int32_t epoch, int64_t start_offset) {
  if (epochs_.empty() || epoch > epochs_.back().epoch) epochs_.push_back({epoch, start_offset});
}

}  // namespace weir::storage
