// LogShard: offsets by timestamp (ListOffsets).
#include <algorithm>
#include <span>

#include "storage/log/log_shard.h"
#include "storage/segment/record_timestamps.h"

namespace weir::storage {
namespace {

// Largest timestamp of what readers may see, in segments and batches that are known to have it at or above the log start.
int64_t largest_timestamp(const Partition& partition, std::span<const TailBatch> dirty) {
  const int64_t start = partition.log_start_offset();
  int64_t largest = kNoTimestamp;
  for (const SegmentInfo& segment : partition.manifest().segments) {
    if (segment.times_known && segment.base_offset >= start) largest = std::max(largest, segment.max_timestamp);
  }
  for (const TailBatch& batch : dirty) {
    if (batch.info.last_offset() >= partition.high_watermark()) break;
    if (batch.info.base_offset >= start) largest = std::max(largest, batch.info.max_timestamp);
  }
  return largest;
}

// Whether the store has to look for a larger one: in segments whose times are not known, or that begin below the log start.
bool may_exceed(const SegmentInfo& segment, int64_t log_start_offset, int64_t largest) {
  if (segment.next_offset <= log_start_offset) return false;
  return !segment.times_known || (segment.base_offset < log_start_offset && segment.max_timestamp > largest);
}

// Of the segments that reach beyond `from` the first `most` that may hold a record as young as `timestamp`.
PartitionManifest part_of(const PartitionManifest& manifest, int64_t timestamp, int64_t from, size_t most) {
  PartitionManifest part;
  part.partition = manifest.partition;
  part.log_start_offset = manifest.log_start_offset;
  for (const SegmentInfo& segment : manifest.segments) {
    if (segment.next_offset <= from || (segment.times_known && segment.max_timestamp < timestamp)) continue;
    if (part.segments.size() == most) break;
    part.segments.push_back(segment);
  }
  return part;
}

}  // namespace

void LogShard::find_timestamp(Partition& partition, int64_t timestamp, bool read_committed,
                              Function<void(Result<TimestampPosition>)> done, Function<bool()> wanted) {
  if (read_committed) {
    done = [done = std::move(done), end_offset = partition.last_stable_offset()](Result<TimestampPosition> found) mutable {
      if (found && found->offset >= end_offset) found = TimestampPosition{};
      done(std::move(found));
    };
  }
  const bool known = std::ranges::all_of(partition.manifest().segments, &SegmentInfo::times_known);
  TimestampSearches& searches = known ? searches_ : reading_searches_;
  if (auto refused = searches.add(partition.id(), timestamp, {std::move(done), std::move(wanted)})) {
    return refused->done(fail(weir::ErrorCode::kClosed, "others search through segments whose times are not known yet"));
  }
  begin_searches(searches);
}

void LogShard::begin_searches(TimestampSearches& searches) {
  searches.begin([&](TimestampSearches::Search search) {
    auto ended = [this, alive = lifetime_.observe(), &searches, id = search.partition,
                  askers = std::move(search.askers)](Result<TimestampPosition> found) mutable {
      if (!alive) return;
      // The leader epoch in a batch's header is outside of its checksum: the partition knows better.
      const Partition* now = found && found->offset >= 0 ? find(id) : nullptr;
      const int32_t epoch = now ? now->epoch_at(found->offset) : -1;
      if (epoch >= 0) found->leader_epoch = epoch;
      if (!found && found.error().code == weir::ErrorCode::kIo && find(id)) tell_failed_read(id, found.error());
      searches.ended();
      for (auto& asker : askers) asker.done(found);
      begin_searches(searches);
    };
    Partition* partition = find(search.partition);
    if (partition) search_timestamp(*partition, search.timestamp, std::move(ended));
    else ended(fail(weir::ErrorCode::kNotFound, "the partition is gone"));
  });
}

// The rest of a look-up: segments with records at or above `from`, then the tail.
struct LogShard::SegmentSearch {
  PartitionId partition;
  int64_t timestamp = 0;
  int64_t from = 0;
  int64_t log_start_offset = 0;
  std::vector<Slice> tail;  // batches
  bool largest = false;     // of the tail's records the one with the largest time; `timestamp` is at most that
  Function<void(Result<TimestampPosition>)> done;
};

void LogShard::search_timestamp(Partition& partition, int64_t timestamp, Function<void(Result<TimestampPosition>)> done) {
  const auto dirty = partition.tail_from(partition.manifest().end_offset);
  const bool largest = timestamp == kLargestTimestamp;
  if (largest) timestamp = largest_timestamp(partition, dirty);  // of records without times the first, as Kafka
  // The tail's candidate is found now; the segments are asked first, for their records come first.
  // One that begins below the log start may have its largest time there: then it is the next one.
  const int64_t start = partition.log_start_offset();
  std::vector<Slice> candidates;
  for (const TailBatch& batch : dirty) {
    if (batch.info.last_offset() >= partition.high_watermark()) break;
    if (batch.info.max_timestamp < timestamp || batch.info.last_offset() < start) continue;
    candidates.push_back(batch.bytes);
    if (batch.info.base_offset >= start) break;
  }
  SegmentSearch search{partition.id(), timestamp, start, start, std::move(candidates), largest, std::move(done)};
  const auto exceeds = [&](const SegmentInfo& segment) { return may_exceed(segment, start, timestamp); };
  if (!largest || std::ranges::none_of(partition.manifest().segments, exceeds)) return search_segments(std::move(search));
  PartitionManifest all = part_of(partition.manifest(), kNoTimestamp, start, SIZE_MAX);
  store_.find_timestamp(std::move(all), kLargestTimestamp, loop_,
                        [this, alive = lifetime_.observe(), search = std::move(search)](Result<TimestampPosition> found) mutable {
                          if (!alive) return;
                          if (!found || (found->offset >= 0 && found->timestamp >= search.timestamp))
                            return search.done(std::move(found));
                          find_in_batches(std::move(search));
                        });
}

// Hands over some segments at a time. So a message stays small however many there are, and other work comes between.
void LogShard::search_segments(SegmentSearch search) {
  constexpr size_t kSegmentsAtOnce = 16;
  const Partition* partition = find(search.partition);
  if (!partition) return search.done(fail(weir::ErrorCode::kNotFound, "the partition is gone"));
  PartitionManifest part = part_of(partition->manifest(), search.timestamp, search.from, kSegmentsAtOnce);
  if (part.segments.empty()) return find_in_batches(std::move(search));
  search.from = part.segments.back().next_offset;
  const int64_t timestamp = search.timestamp;
  store_.find_timestamp(std::move(part), timestamp, loop_,
                        [this, alive = lifetime_.observe(), search = std::move(search)](Result<TimestampPosition> found) mutable {
                          if (!alive) return;
                          if (found && found->offset < 0) return search_segments(std::move(search));
                          if (found) found->offset = std::max(found->offset, search.log_start_offset);
                          search.done(std::move(found));
                        });
}

void LogShard::find_in_batches(SegmentSearch search) {
  if (search.tail.empty()) return search.done(TimestampPosition{});
  // Compressed batches are unpacked for this: on the pool, never on the loop.
  auto found = std::make_shared<Result<TimestampPosition>>(TimestampPosition{});
  runtime_.pool->submit(
      [found, batches = std::move(search.tail), timestamp = search.timestamp, largest = search.largest,
       start_offset = search.log_start_offset]() mutable {
        for (const Slice& batch : batches) {
          if (largest) timestamp = std::max(timestamp, max_timestamp_in(batch.bytes(), start_offset).value_or(timestamp));
        }
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
      [found, alive = lifetime_.observe(), done = std::move(search.done)]() mutable {
        if (alive) done(std::move(*found));
      });
}

}  // namespace weir::storage
