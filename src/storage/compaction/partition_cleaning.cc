#include "storage/compaction/partition_cleaning.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "storage/segment/aborted_index.h"
#include "storage/segment/segment_names.h"

namespace weir::storage {

namespace {

constexpr uint64_t kSegmentBytesMax = std::numeric_limits<int32_t>::max();
constexpr int64_t kOffsetSpanMax = std::numeric_limits<int32_t>::max();
// Gives the first size of the map. The map grows if there are more keys.
constexpr uint64_t kBytesPerKeyGuess = 128;

}  // namespace

PartitionCleaning::PartitionCleaning(SegmentStore& store, CleaningInput input, Limits limits)
    : store_(store),
      input_(std::move(input)),
      limits_(limits),
      map_(limits.map_bytes, input_.range.cleanable_bytes / kBytesPerKeyGuess, limits.secret, limits.map_load_factor) {
  outcome_.partition = input_.manifest.partition;
  outcome_.first_dirty_offset = input_.range.first_dirty_offset;
  outcome_.file_delete_delay_ms = input_.file_delete_delay_ms;
}

Result<PartitionCleaning::Step> PartitionCleaning::step(uint64_t bytes_max) {
  worked_ = 0;
  Result<void> done;
  while (done && stage_ != Stage::kDone && worked_ < bytes_max) {
    switch (stage_) {
      case Stage::kBegin:
        done = begin();
        break;
      case Stage::kFindAborted:
        done = find_aborted(bytes_max);
        break;
      case Stage::kMap:
        done = map_some(bytes_max);
        break;
      case Stage::kRewrite:
        done = rewrite_some(bytes_max);
        break;
      case Stage::kDone:
        break;
    }
  }
  if (!done) {
    source_.reset();
    return std::unexpected(std::move(done.error()));
  }
  return Step{stage_ == Stage::kDone, worked_};
}

Result<void> PartitionCleaning::begin() {
  auto generation = store_.begin_rewrite(input_.manifest.partition);
  if (!generation) return std::unexpected(std::move(generation.error()));
  generation_ = *generation;
  map_.update_latest_offset(input_.range.first_dirty_offset - 1);
  RetentionRules rules;
  rules.newest = &map_;
  rules.active_producers = &input_.active_producers;
  rules.high_watermark = input_.high_watermark;
  rules.now_ms = input_.now_ms;
  rules.delete_retention_ms = input_.delete_retention_ms;
  cleaner_ = std::make_unique<BatchCleaner>(rules);
  transactions_.add_spanning(input_.aborted, INT64_MAX, input_.range.first_uncleanable_offset);
  stage_ = Stage::kFindAborted;
  return {};
}

// In all segments, because a marker may lie behind everything that is cleaned.
Result<void> PartitionCleaning::find_aborted(uint64_t bytes_max) {
  const auto& segments = input_.manifest.segments;
  for (; segment_ < segments.size() && worked_ < bytes_max; ++segment_) {
    const SegmentInfo& segment = segments[segment_];
    if (segment.aborted == 0) continue;
    auto entries = store_.aborted_transactions(input_.manifest.partition, segment);
    if (!entries) return std::unexpected(std::move(entries.error()));
    transactions_.add_spanning(*entries, segment.base_offset, input_.range.first_uncleanable_offset);
    worked_ += entries->size() * kAbortedEntryBytes;
  }
  if (segment_ < segments.size()) return {};
  segment_ = 0;
  stage_ = Stage::kMap;
  return {};
}

Result<void> PartitionCleaning::open_source(const SegmentInfo& segment) {
  const PartitionId& partition = input_.manifest.partition;
  auto entries = store_.aborted_transactions(partition, segment);
  if (!entries) return std::unexpected(std::move(entries.error()));
  transactions_.begin_segment(*entries);
  auto source = store_.open_segment(partition, segment);
  if (!source) return std::unexpected(std::move(source.error()));
  source_ = std::make_unique<SegmentBatches>(
      std::move(*source), partition_folder_name(partition) + "/" + segment_file_name(segment.base_offset, segment.generation),
      segment);
  return {};
}

Result<void> PartitionCleaning::map_some(uint64_t bytes_max) {
  const auto& segments = input_.manifest.segments;
  const int64_t start = input_.range.first_dirty_offset;
  while (worked_ < bytes_max) {
    if (!source_) {
      while (segment_ < segments.size() && segments[segment_].next_offset <= start) ++segment_;
      if (segment_ == segments.size() || segments[segment_].next_offset > input_.range.first_uncleanable_offset)
        return map_ended(false);
      if (auto done = open_source(segments[segment_]); !done) return done;
    }
    auto batch = source_->next();
    if (!batch) return std::unexpected(std::move(batch.error()));
    if (!*batch) {
      source_.reset();
      // Offsets that are missing at the segment's end are covered as well.
      map_.update_latest_offset(std::max(map_.latest_offset(), segments[segment_].next_offset - 1));
      ++segment_;
      continue;
    }
    worked_ += (*batch)->size();
    stats_.bytes_mapped += (*batch)->size();
    if (const auto header = protocol::BatchHeader::parse((*batch)->data()); transactions_.is_aborted(header)) {
      map_.update_latest_offset(std::max(map_.latest_offset(), header.last_offset()));
      continue;
    }
    auto fitted = cleaner_->map_keys(**batch, start, map_);
    if (!fitted) return fail(fitted.error().code, source_->name() + ": " + fitted.error().message);
    if (!*fitted) return map_ended(true);
  }
  return {};
}

Result<void> PartitionCleaning::map_ended(bool full) {
  source_.reset();
  if (full && map_.latest_offset() < input_.range.first_dirty_offset) {
    return fail(ErrorCode::kInvalid,
                fmt::format("one batch has more keys than {} bytes of memory hold; raise log.cleaner.dedupe.buffer.size",
                            limits_.map_bytes));
  }
  // If the map is not full, it covers all of the range, missing offsets included.
  const int64_t end = full ? map_.latest_offset() + 1 : input_.range.first_uncleanable_offset;
  map_.update_latest_offset(end - 1);
  outcome_.first_dirty_offset = end;
  groups_ = group_segments(input_.manifest.segments, end, input_.segment_bytes);
  segment_ = 0;
  stage_ = Stage::kRewrite;
  return {};
}

Result<void> PartitionCleaning::rewrite_some(uint64_t bytes_max) {
  while (worked_ < bytes_max) {
    if (group_ == groups_.size()) {
      stage_ = Stage::kDone;
      return {};
    }
    if (outcome_.groups.size() == group_) outcome_.groups.push_back({groups_[group_], {}});
    if (!source_) {
      if (segment_ == groups_[group_].size()) {
        if (auto done = end_group(); !done) return done;
        continue;
      }
      if (auto done = open_source(groups_[group_][segment_]); !done) return done;
    }
    auto batch = source_->next();
    if (!batch) return std::unexpected(std::move(batch.error()));
    if (!*batch) {
      source_.reset();
      ++segment_;
      continue;
    }
    worked_ += (*batch)->size();
    stats_.bytes_read += (*batch)->size();
    const auto header = protocol::BatchHeader::parse((*batch)->data());
    const bool needless = transactions_.is_needless(header);
    auto fate = cleaner_->clean(**batch, needless);
    if (!fate) return fail(fate.error().code, source_->name() + ": " + fate.error().message);
    if (*fate == BatchFate::kDrop) {
      ++stats_.batches_dropped;
      continue;
    }
    if (auto done = put(*fate == BatchFate::kKeep ? **batch : cleaner_->rewritten()); !done) return done;
    const AbortedTransaction* entry = header.control() && !needless ? transactions_.entry_of(header) : nullptr;
    if (entry) output_->add_aborted(*entry);
  }
  return {};
}

Result<void> PartitionCleaning::put(Bytes batch) {
  const BatchHeader header = BatchHeader::parse(batch.data());
  // Compressing again may make a batch larger, and a single batch may be larger than any limit.
  if (output_ && output_->info().length > 0 &&
      (output_->info().length + batch.size() > kSegmentBytesMax ||
       header.last_offset() - output_->info().base_offset > kOffsetSpanMax)) {
    if (auto done = end_output(); !done) return done;
  }
  if (!output_) {
    // The first output has the base offset of the segments that it replaces, as in Kafka.
    const int64_t base_offset = outcome_.groups.back().outputs.empty() ? groups_[group_].front().base_offset : header.base_offset;
    auto output = store_.create_segment(input_.manifest.partition, base_offset, generation_);
    if (!output) return std::unexpected(std::move(output.error()));
    output_ = std::move(*output);
    outcome_.groups.back().outputs.push_back(output_->info());
  }
  worked_ += batch.size();
  stats_.bytes_written += batch.size();
  return output_->append(batch);
}

Result<void> PartitionCleaning::end_output() {
  auto info = output_->finish();
  if (!info) return std::unexpected(std::move(info.error()));
  info->created_ms = groups_[group_].back().created_ms;
  info->modified_ms = groups_[group_].back().modified_ms;
  outcome_.groups.back().outputs.back() = *info;
  output_.reset();
  return {};
}

Result<void> PartitionCleaning::end_group() {
  if (output_) {
    if (auto done = end_output(); !done) return done;
  }
  ++group_;
  segment_ = 0;
  return {};
}

CleaningStats PartitionCleaning::stats() const {
  CleaningStats stats = stats_;
  stats.keys = map_.size();
  stats.map_bytes = map_.memory_bytes();
  if (cleaner_) stats.records = cleaner_->totals();
  return stats;
}

}  // namespace weir::storage
