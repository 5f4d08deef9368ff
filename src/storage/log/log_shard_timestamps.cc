// LogShard: offsets by timestamp (ListOffsets).
#include <algorithm>

#include "storage/log/log_shard.h"
#include "storage/segment/record_timestamps.h"

namespace weir::storage {
namespace {

// Largest timestamp of what readers may see.
int64_t largest_timestamp(const Partition& partition, const std::vector<TailBatch>& tail, size_t first) {
  int64_t largest = kNoTimestamp;
  for (const SegmentInfo& segment : partition.manifest().segments) {
    if (segment.times_known) largest = std::max(largest, segment.max_timestamp);
  }
  for (size_t i = first; i < tail.size() && tail[i].facts.last_offset() < partition.high_watermark(); ++i) {
    largest = std::max(largest, tail[i].facts.max_timestamp);
  }
  return largest;
}

}  // namespace

void LogShard::find_timestamp(Partition& partition, int64_t timestamp, Function<void(Result<TimestampPosition>)> done) {
  if (std::ranges::all_of(partition.manifest_.segments, &SegmentInfo::times_known)) {
    return search_timestamp(partition, timestamp, std::move(done));
  }
  if (reading_searches_.size() == kReadingSearchesMax) {
    return done(fail(weir::ErrorCode::kClosed, "others search through segments whose times are not known yet"));
  }
  reading_searches_.push_back({partition.id_, timestamp, std::move(done)});
  if (reading_searches_.size() == 1) next_reading_search();
}

// By now the times may be known.
void LogShard::next_reading_search() {
  const auto ended = [this, alive = alive_](Result<TimestampPosition> found) {
    if (!*alive) return;
    auto done = std::move(reading_searches_.front().done);
    reading_searches_.pop_front();
    if (!reading_searches_.empty()) next_reading_search();
    done(std::move(found));
  };
  Partition* partition = find(reading_searches_.front().partition);
  if (!partition) return ended(fail(weir::ErrorCode::kNotFound, "the partition is gone"));
  search_timestamp(*partition, reading_searches_.front().timestamp, ended);
}

void LogShard::search_timestamp(Partition& partition, int64_t timestamp, Function<void(Result<TimestampPosition>)> done) {
  const size_t first = partition.tail_index(partition.manifest_.end_offset);
  const auto& segments = partition.manifest_.segments;
  const bool largest = timestamp == kLargestTimestamp;
  // If some times are not known, the store finds out the largest in the segments.
  const bool largest_unknown = largest && !std::ranges::all_of(segments, &SegmentInfo::times_known);
  if (largest) timestamp = largest_timestamp(partition, partition.tail_, first);  // of records without times the first, as Kafka
  // The tail's candidate is found now; the segments are asked first, for their records come first.
  // One that begins below the log start may have its largest time there: then it is the next one.
  std::vector<Slice> candidates;
  for (size_t i = first; i < partition.tail_.size(); ++i) {
    const TailBatch& batch = partition.tail_[i];
    if (batch.facts.last_offset() >= partition.high_watermark_) break;
    if (batch.facts.max_timestamp < timestamp || batch.facts.last_offset() < partition.log_start_offset_) continue;
    candidates.push_back(batch.bytes);
    if (batch.facts.base_offset >= partition.log_start_offset_) break;
  }
  const bool in_segments = largest_unknown || std::any_of(segments.begin(), segments.end(), [&](const SegmentInfo& segment) {
    return (!segment.times_known || segment.max_timestamp >= timestamp) && segment.next_offset > partition.log_start_offset_;
  });
  if (!in_segments) {
    return find_in_batches(std::move(candidates), timestamp, partition.log_start_offset_, std::move(done));
  }
  store_.find_timestamp(
      partition.manifest_, largest_unknown ? kLargestTimestamp : timestamp, loop_,
      [this, alive = alive_, candidates = std::move(candidates), timestamp, start = partition.log_start_offset_,
       done = std::move(done)](Result<TimestampPosition> found) mutable {
        if (!*alive) return;
        if (found && (found->offset < 0 || found->timestamp < timestamp)) {
          return find_in_batches(std::move(candidates), timestamp, start, std::move(done));
        }
        if (found && found->offset < start) found->offset = start;
        done(std::move(found));
      });
}

void LogShard::find_in_batches(std::vector<Slice> batches, int64_t timestamp, int64_t start_offset,
                               Function<void(Result<TimestampPosition>)> done) {
  if (batches.empty()) return done(TimestampPosition{});
  // Compressed batches are unpacked for this: on the pool, never on the loop.
  auto found = std::make_shared<Result<TimestampPosition>>(TimestampPosition{});
  runtime_.pool->submit(
      [found, batches = std::move(batches), timestamp, start_offset] {
        for (const Slice& batch : batches) {
          auto record = first_record_in(batch.bytes(), timestamp, start_offset);
          if (!record) {
            *found = std::unexpected(record.error());
          } else if (*record) {
            *found = **record;
          } else {
            continue;
          }
          return;
        }
      },
      loop_,
      [found, alive = alive_, done = std::move(done)]() mutable {
        if (*alive) done(std::move(*found));
      });
}

}  // namespace weir::storage
