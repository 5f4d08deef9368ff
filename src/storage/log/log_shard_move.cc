// LogShard: the shard's part in moving partitions between log directories, and in finding out the times of old segments.
// LogDirMover copies; the shard says what is not as or where it should be, and puts copies in place.
#include <algorithm>

#include "storage/log/log_shard.h"

namespace weir::storage {

namespace {

const SegmentInfo* first_misplaced(const PartitionManifest& manifest) {
  const auto elsewhere = [&](const SegmentInfo& segment) { return segment.directory != manifest.place.target; };
  const auto found = std::ranges::find_if(manifest.segments, elsewhere);
  return found == manifest.segments.end() ? nullptr : &*found;
}

}  // namespace

// Of whose segments the times are to be found out.
struct LogShard::TimesLeft {
  const SegmentInfo* next = nullptr;
  bool waits_for_space = false;
};

// Segments that keep retention waiting come first. The other ones only need to be written anew, which takes space.
LogShard::TimesLeft LogShard::times_left(const Partition& partition) const {
  const SegmentInfo* aged = nullptr;
  const auto unreadable = unreadable_.find(partition.id());
  for (const SegmentInfo& segment : partition.manifest().segments) {
    if (segment.times_known || (unreadable != unreadable_.end() && unreadable->second.contains(segment.base_offset))) continue;
    if (!segment.age_known) return {&segment, false};
    if (!aged) aged = &segment;
  }
  if (lacks_space()) return {nullptr, aged != nullptr};
  return {aged, false};
}

void LogShard::set_directory(Partition& partition, uint32_t directory, Function<void(Result<void>)> done) {
  const PartitionId id = partition.id();
  if (partition.of_shard.releasing) return done(fail(ErrorCode::kClosed, "the partition goes to another owner"));
  ++partition.of_shard.store_changes;
  options_.directories->set_directory(
      id, directory, loop_,
      [this, alive = lifetime_.observe(), id, done = std::move(done)](Result<PartitionPlace> place) mutable {
        if (!alive) return;
        if (!place) {
          store_changed(id);
          return done(std::unexpected(std::move(place.error())));
        }
        checkpointer_.in_store_order([this, id, place = *place, done = std::move(done)]() mutable {
          Partition* placed = find(id);
          if (placed) {
            placed->set_place(place);
            moving_.insert(id);
          }
          done({});
          if (placed && move_watcher_) move_watcher_();
          store_changed(id);
        });
      });
}

std::vector<LogShard::Replica> LogShard::replicas(const Partition& partition) {
  const PartitionManifest& manifest = partition.manifest();
  const PartitionPlace place = manifest.place;
  std::vector<Replica> replicas;
  replicas.push_back({place.directory, partition.size_bytes(), 0, false});
  if (place.target == place.directory) return replicas;
  Replica future{place.target, 0, 0, true};
  for (const SegmentInfo& segment : manifest.segments) {
    if (segment.directory == place.target) future.bytes += segment.length;
  }
  if (const SegmentInfo* missing = first_misplaced(manifest))
    future.offset_lag = partition.log_end_offset() - missing->base_offset;
  replicas.push_back(future);
  return replicas;
}

LogShard::MisplacedLook LogShard::find_misplaced(const std::set<PartitionId>& skipped, const PartitionId& from) {
  MisplacedLook look;
  int looks = 0;
  for (auto at = moving_.lower_bound(from); at != moving_.end();) {
    const PartitionId id = *at;
    if (++looks > kMisplacedLooks) {
      look.next = id;
      break;
    }
    const Partition* partition = find(id);
    const TimesLeft times = partition ? times_left(*partition) : TimesLeft{};
    const SegmentInfo* misplaced = partition ? first_misplaced(partition->manifest()) : nullptr;
    const PartitionPlace place = partition ? partition->manifest().place : PartitionPlace{};
    const bool in_place = !misplaced && place.directory == place.target;
    if (in_place && !times.next && !times.waits_for_space) {
      at = moving_.erase(at);
      continue;
    }
    ++at;
    if (partition->offline() || partition->of_shard.releasing || skipped.contains(id)) continue;
    look.waits_for_space |= times.waits_for_space;
    if (in_place && !times.next) continue;
    const bool times_only = times.next != nullptr;
    look.found = Misplaced{id, std::nullopt, place.target, file_delete_delay_ms(*partition), times_only, !lacks_space()};
    if (const SegmentInfo* segment = times_only ? times.next : misplaced) look.found->segment = *segment;
    break;
  }
  return look;
}

void LogShard::finish_move(SegmentReplacement outcome, Function<void(Result<void>)> done) {
  replace_segments(std::move(outcome), [](const SegmentReplacement&) {}, std::move(done));
}

void LogShard::finish_check(SegmentReplacement outcome, const std::string& damage, Function<void(Result<void>)> done) {
  const auto then = [this, damage](const SegmentReplacement& checked) {
    const Partition* partition = find(checked.partition);
    if (damage.empty() || !partition) return;
    const int64_t base_offset = checked.groups.front().sources.front().base_offset;
    // Retention may have been faster.
    const auto& segments = partition->manifest().segments;
    const bool there = std::ranges::binary_search(segments, base_offset, {}, &SegmentInfo::base_offset);
    if (there) unreadable_[checked.partition][base_offset] = damage;
  };
  replace_segments(std::move(outcome), then, std::move(done));
}

void LogShard::forget_unreadable(const Partition& partition) {
  const auto found = unreadable_.find(partition.id());
  if (found == unreadable_.end()) return;
  const auto& left = partition.manifest().segments;
  const auto end = left.empty() ? found->second.end() : found->second.lower_bound(left.front().base_offset);
  found->second.erase(found->second.begin(), end);
  if (found->second.empty()) unreadable_.erase(found);
}

size_t LogShard::unreadable_segments() const {
  size_t count = 0;
  for (const auto& [partition, segments] : unreadable_) count += segments.size();
  return count;
}

std::vector<LogShard::UnreadableSegment> LogShard::list_unreadable() const {
  std::vector<UnreadableSegment> listed;
  for (const auto& [partition, segments] : unreadable_) {
    for (const auto& [base_offset, reason] : segments) {
      if (listed.size() == kUnreadableListed) return listed;
      listed.push_back({text_of(partition), reason});
    }
  }
  return listed;
}

}  // namespace weir::storage
