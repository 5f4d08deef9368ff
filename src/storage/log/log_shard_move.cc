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

const SegmentInfo* first_with_unknown_times(const PartitionManifest& manifest) {
  const auto found = std::ranges::find_if_not(manifest.segments, &SegmentInfo::times_known);
  return found == manifest.segments.end() ? nullptr : &*found;
}

}  // namespace

void LogShard::set_directory(Partition& partition, uint32_t directory, Function<void(Result<void>)> done) {
  const PartitionId id = partition.id();
  store_.set_directory(id, directory, loop_,
                       [this, alive = alive_, id, done = std::move(done)](Result<PartitionPlace> place) mutable {
                         if (!*alive) return;
                         if (!place) return done(std::unexpected(std::move(place.error())));
                         in_store_order([this, id, place = *place, done = std::move(done)]() mutable {
                           Partition* placed = find(id);
                           if (placed) {
                             placed->manifest_.place = place;
                             moving_.insert(id);
                           }
                           done({});
                           if (placed && move_watcher_) move_watcher_();
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

LogShard::MisplacedLook LogShard::find_misplaced(const std::set<PartitionId>& skipped, const std::set<PartitionId>& unreadable,
                                                 const PartitionId& from) {
  MisplacedLook look;
  int looks = 0;
  for (auto at = moving_.lower_bound(from); at != moving_.end();) {
    const PartitionId id = *at;
    if (++looks > kMisplacedLooks) {
      look.next = id;
      break;
    }
    const Partition* partition = find(id);
    const SegmentInfo* unknown = partition ? first_with_unknown_times(partition->manifest_) : nullptr;
    const SegmentInfo* misplaced = partition ? first_misplaced(partition->manifest_) : nullptr;
    const PartitionPlace place = partition ? partition->manifest_.place : PartitionPlace{};
    if (!unknown && !misplaced && place.directory == place.target) {
      at = moving_.erase(at);
      continue;
    }
    ++at;
    if (partition->offline() || skipped.contains(id)) continue;
    const bool checkable = unknown && !unreadable.contains(id);
    const bool times_only = checkable && !lacks_space();
    look.waits_for_space |= checkable && !times_only;
    if (!times_only && !misplaced && place.directory == place.target) continue;
    look.found = Misplaced{id, std::nullopt, place.target, file_delete_delay_ms(*partition), times_only};
    if (const SegmentInfo* segment = times_only ? unknown : misplaced) look.found->segment = *segment;
    break;
  }
  return look;
}

void LogShard::finish_move(SegmentReplacement outcome, Function<void(Result<void>)> done) {
  replace_segments(std::move(outcome), [](const SegmentReplacement&) {}, std::move(done));
}

}  // namespace weir::storage
