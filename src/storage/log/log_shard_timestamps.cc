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
