#include "storage/log/log_recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "base/check.h"
#include "base/counted.h"
#include "base/log.h"
#include "protocol/record_batch.h"
#include "storage/log/checkpoint_input.h"
#include "storage/log/offline_markers.h"
#include "storage/log/recovered_partition.h"
#include "storage/segment/record_timestamps.h"

namespace weir::storage {

unsigned shard_of(const PartitionId& partition, unsigned shards) {
  return static_cast<unsigned>((std::hash<PartitionId>()(partition) >> 17) % shards);
}

// One opening of the log; lives in open_log only.
class LogRecovery final : public WalReplayVisitor {
 public:
  LogRecovery(runtime::Runtime& runtime, SegmentStore& store, WalSessions& wals, const LogOptions& options,
              const PartitionLookup& known, const PartitionList& all)
      : runtime_(runtime),
        store_(store),
        wals_(wals),
        options_(options),
        known_(known),
        all_(all),
        markers_(*runtime.files, options.log_dir),
        now_ms_(runtime.clock->wall_ms()) {}

  Result<OpenedLog> run();

  void on_batch(ChunkNumber chunk, const BatchInfo& info, Slice bytes) override;
  void on_corruption(const WalCorruption& corruption) override;

 private:
  // A partition that some shard will acquire.
  struct Recovered {
    PartitionSnapshot snapshot;
    RecoveredTail tail;
    int64_t end = 0;         // of the log
    unsigned in_log_of = 0;  // the shard whose log has the tail
    const PartitionManifest& manifest() const { return snapshot.manifest; }
    bool offline() const { return !tail.offline_reason.empty(); }
    bool has_dirty_batches() const {
      return std::ranges::any_of(tail.batches, [](const TailBatch& one) { return one.bytes.size > 0; });
    }
  };
  Result<void> load_manifests();
  Result<void> replay(unsigned shards, unsigned previous);
  void end_suspicion(unsigned shard, unsigned previous);
  Result<void> mark_offline_durably();
  Result<void> checkpoint_tails(unsigned shards, bool resharded);
  void open_shards(OpenedLog& opened);
  Recovered* find(const PartitionId& id);
  std::unique_ptr<Partition> partition_of(Recovered recovered) const;
  bool deleted(const PartitionId& id);
  Result<void> refuse_unknown() const;
  int64_t mend_times(const Slice& bytes) const;
  void take_offline(Recovered& recovered, std::string reason);
  std::string text_of(const PartitionId& id) const;

  runtime::Runtime& runtime_;
  SegmentStore& store_;
  WalSessions& wals_;
  const LogOptions& options_;
  const PartitionLookup& known_;
  const PartitionList& all_;
  OfflineMarkers markers_;
  const int64_t now_ms_;
  std::unordered_map<PartitionId, Recovered> partitions_;
  std::vector<PartitionId> orphans_;            // partitions of deleted topics with a manifest
  std::unordered_set<TopicId> remains_;         // deleted topics with data left
  std::map<PartitionId, std::string> unknown_;  // partitions that the metadata does not know, with a description of their data
  std::vector<WalGuest> guests_;
  unsigned replaying_ = 0;  // the log of this shard
  // State of the log that is replayed. A suspicion says that records of unknown partitions are lost. A partition is trusted once
  // a batch behind the loss followed its log without a gap.
  std::string suspicion_;
  std::unordered_set<PartitionId> trusted_;
  std::unordered_map<PartitionId, std::vector<Slice>> stranded_;  // batches of offline partitions, which no checkpoint takes
  RecoveryStats stats_;
};

Result<OpenedLog> LogRecovery::run() {
  const int64_t started_ns = runtime_.clock->monotonic_ns();
  const auto earlier = wals_.earlier();
  if (!earlier) return std::unexpected(earlier.error());
  stats_.clean = earlier->clean;
  if (auto r = load_manifests(); !r) return std::unexpected(r.error());

  const auto shards = static_cast<unsigned>(runtime_.loops.size());
  const unsigned previous = earlier->shards;
  const bool resharded = previous != 0 && previous != shards;
  if (auto r = replay(std::max(previous, shards), previous != 0 ? previous : shards); !r) return std::unexpected(r.error());
  if (auto r = refuse_unknown(); !r) return std::unexpected(r.error());
  if (auto r = mark_offline_durably(); !r) return std::unexpected(r.error());
  if (resharded) {
    log_info("log", "The number of shards changed from {} to {}: checkpointing the write-ahead log before serving", previous,
             shards);
  }
  if (auto r = checkpoint_tails(shards, resharded); !r) return std::unexpected(r.error());
  if (auto r = wals_.begin(shards, resharded); !r) return std::unexpected(r.error());

  OpenedLog opened;
  stats_.partitions = partitions_.size();
  open_shards(opened);
  for (const PartitionId& id : orphans_) {
    store_.drop(id, 0, *runtime_.loops[0], [](Result<void>) {});
  }
  stats_.duration_ms = (runtime_.clock->monotonic_ns() - started_ns) / runtime::kMillisecond;
  opened.stats = stats_;
  opened.remains = std::move(remains_);
  return opened;
}

Result<void> LogRecovery::load_manifests() {
  auto guests = store_.wal_guests();
  if (!guests) return std::unexpected(guests.error());
  guests_ = std::move(*guests);
  auto loaded = store_.load([this](const PartitionId& id) { return deleted(id); });
  if (!loaded) return std::unexpected(loaded.error());
  for (LoadedPartition& entry : *loaded) {
    const PartitionId& id = entry.manifest.partition;
    const auto known = known_(id);
    if (!known || known->deleted) {
      if (known) remains_.insert(id.topic);
      if (!known && !entry.empty()) {
        unknown_[id] = !entry.has_row ? "files"
                                      : fmt::format("{} up to offset {}", counted(entry.manifest.segments.size(), "segment"),
                                                    entry.manifest.end_offset);
      }
      if (entry.has_row) orphans_.push_back(id);
      continue;
    }
    if (!entry.has_row) continue;  // the checkpoint that left it comes again
    Recovered& recovered = *find(id);
    recovered.end = std::max(entry.manifest.end_offset, entry.manifest.log_start_offset);
    recovered.snapshot = {std::move(entry.manifest), std::move(entry.producers)};
  }
  auto offline = markers_.load();
  if (!offline) return std::unexpected(offline.error());
  for (const OfflineMarker& marker : *offline) {
    const PartitionId& id = marker.partition;
    if (Recovered* recovered = find(id)) {
      take_offline(*recovered, marker.reason);
    } else if (deleted(id)) {
      if (auto r = markers_.remove(id); !r) return r;
    } else {
      unknown_.try_emplace(id, "a note that it is offline");
    }
  }
  return {};
}

bool LogRecovery::deleted(const PartitionId& id) {
  const auto known = known_(id);
  if (!known || !known->deleted) return false;
  remains_.insert(id.topic);
  return true;
}

Result<void> LogRecovery::refuse_unknown() const {
  if (unknown_.empty()) return {};
  constexpr size_t kNamed = 20;
  std::string named;
  size_t left = kNamed;
  for (const auto& [id, what] : unknown_) {
    if (left-- == 0) break;
    named += fmt::format("{}{}-{} ({})", named.empty() ? "" : ", ", id.topic.to_string(), id.index, what);
  }
  if (unknown_.size() > kNamed) named += fmt::format(" and {} more", unknown_.size() - kNamed);
  return fail(ErrorCode::kCorrupt,
              fmt::format("{} holds data of partitions that meta.db does not know, and no deletion of them is noted there: {}. "
                          "meta.db is damaged, or older than the data. Nothing was deleted. Bring back meta.db and "
                          "meta.db-wal as they were when the broker last ran (an older copy will not do). To give up a topic's "
                          "records for good, make an empty file {}/<topic id>.deleted and start again",
                          options_.log_dir, named, options_.log_dir));
}

// Returns the partition, and creates it on first sight. Null if it was deleted, or is not known.
LogRecovery::Recovered* LogRecovery::find(const PartitionId& id) {
  const auto it = partitions_.find(id);
  if (it != partitions_.end()) return &it->second;
  const auto known = known_(id);
  if (!known || known->deleted) return nullptr;
  Recovered& recovered = partitions_[id];
  recovered.snapshot.manifest.partition = id;
  return &recovered;
}

Result<void> LogRecovery::replay(unsigned shards, unsigned previous) {
  for (unsigned shard = 0; shard < shards; ++shard) {
    replaying_ = shard;
    const auto replayed = wals_.replay(shard, *this);
    if (!replayed) return std::unexpected(replayed.error());
    end_suspicion(shard, previous);
    stats_.bytes_read += replayed->bytes_read;
    stats_.chunks += replayed->chunks;
    stats_.torn_bytes += replayed->torn_bytes;
  }
  return {};
}

// A partition may have had batches in the log by its hash or as a guest. It may have lost some of them, unless a later batch
// has shown that nothing is missing before it.
void LogRecovery::end_suspicion(unsigned shard, unsigned previous) {
  if (suspicion_.empty()) return;
  if (all_) {
    for (const PartitionId& id : all_()) (void)find(id);
  }
  std::unordered_set<PartitionId> guests;
  for (const WalGuest& guest : guests_) {
    if (guest.shard == shard && find(guest.partition)) guests.insert(guest.partition);
  }
  for (auto& [id, recovered] : partitions_) {
    const bool in_log = shard_of(id, previous) == shard || guests.contains(id);
    if (in_log && !trusted_.contains(id)) take_offline(recovered, suspicion_);
  }
  suspicion_.clear();
  trusted_.clear();
}

void LogRecovery::on_batch(ChunkNumber chunk, const BatchInfo& noted, Slice bytes) {
  BatchInfo info = noted;
  Recovered* recovered = find(info.partition);
  if (!recovered) {
    if (!deleted(info.partition)) unknown_.try_emplace(info.partition, "records in the write-ahead log");
    return;
  }
  const int64_t end = recovered->end;
  if (info.last_offset() < end) {
    // The batch is checkpointed, or its records were deleted before a checkpoint. A deleted batch still tells of its producer:
    // the same batch sent again is a duplicate.
    if (!suspicion_.empty()) trusted_.insert(info.partition);
    if (info.base_offset >= recovered->manifest().end_offset && !recovered->offline()) {
      if (info.appended_ms == 0) info.appended_ms = now_ms_;  // an earlier version did not note it
      recovered->tail.batches.push_back({info, {}, chunk});
    }
    return;
  }
  if (recovered->offline()) {
    stranded_[info.partition].push_back(std::move(bytes));
    return;
  }
  if (info.base_offset != end) {
    // A log start within the write-ahead log hides deleted offsets. Their batches need not be there.
    const bool covered = info.base_offset < end && end == recovered->manifest().log_start_offset;
    if (!covered) {
      stranded_[info.partition].push_back(std::move(bytes));
      return take_offline(*recovered, fmt::format("the write-ahead log lacks acknowledged records between offsets {} and {}", end,
                                                  info.base_offset));
    }
  }
  if (!suspicion_.empty()) trusted_.insert(info.partition);
  if (info.appended_ms == 0) {
    info.max_timestamp = mend_times(bytes);
    info.appended_ms = now_ms_;
  }
  recovered->end = info.next_offset();
  recovered->in_log_of = replaying_;
  recovered->tail.batches.push_back({info, std::move(bytes), chunk});
  ++stats_.batches;
}

// An earlier version took the times of batches from producers' headers. Unreadable records count as old as this start.
int64_t LogRecovery::mend_times(const Slice& bytes) const {
  const auto found = max_timestamp_in(bytes.bytes());
  if (!found) return now_ms_;
  const bool log_append_time = protocol::BatchHeader::parse(bytes.data).log_append_time();
  protocol::patch_timestamps({const_cast<uint8_t*>(bytes.data), bytes.size}, log_append_time, *found);
  return *found;
}

void LogRecovery::on_corruption(const WalCorruption& corruption) {
  log_error("log", "{}", corruption.message);
  for (const BatchInfo& batch : corruption.lost) {
    Recovered* recovered = find(batch.partition);
    if (!recovered || batch.last_offset() < recovered->end) continue;  // deleted, or in a segment already
    take_offline(*recovered, corruption.message);
  }
  if (!corruption.unknown_partitions) return;
  suspicion_ = corruption.message;
  trusted_.clear();
}

void LogRecovery::take_offline(Recovered& recovered, std::string reason) {
  if (recovered.offline()) return;
  log_event(LogLevel::kError, "log",
            {.what = fmt::format("Partition {} is offline, others serve on", text_of(recovered.manifest().partition)),
             .reason = reason,
             .remedy = kOfflineRemedy});
  recovered.tail.offline_reason = std::move(reason);
}

std::string LogRecovery::text_of(const PartitionId& id) const {
  const auto known = known_(id);
  return partition_text(known ? known->topic_name : std::string_view(), id);
}

Result<void> LogRecovery::mark_offline_durably() {
  for (auto& [id, recovered] : partitions_) {
    if (!recovered.offline()) continue;
    ++stats_.offline_partitions;
    if (auto r = markers_.put(id, recovered.tail.offline_reason, OfflineKind::kWriteAheadLog); !r) return r;
    if (const auto found = stranded_.find(id); found != stranded_.end()) {
      if (auto r = markers_.keep(id, std::move(found->second)); !r) return r;
    }
  }
  return {};
}

std::unique_ptr<Partition> LogRecovery::partition_of(Recovered recovered) const {
  const auto known = known_(recovered.manifest().partition);
  return recovered_partition(std::move(recovered.snapshot), known->config, known->leader_epoch, std::move(recovered.tail),
                             options_.shard.producers_max);
}

// Checkpoints each tail that lies in another log than the log of the shard which will serve the partition, because the shard's
// own log could not release it. If the number of shards changed, all tails are checkpointed, and the old logs are not needed any
// more.
Result<void> LogRecovery::checkpoint_tails(unsigned shards, bool resharded) {
  std::vector<std::unique_ptr<Partition>> partitions;
  std::vector<CheckpointPartition> input;
  for (auto& [id, recovered] : partitions_) {
    if (!recovered.has_dirty_batches() || (!resharded && recovered.in_log_of == shard_of(id, shards))) continue;
    std::string offline_reason = recovered.tail.offline_reason;
    partitions.push_back(partition_of(std::exchange(recovered, {})));
    recovered.tail.offline_reason = std::move(offline_reason);
    CheckpointInput one(*partitions.back(), UINT64_MAX);
    one.add(SIZE_MAX);
    input.push_back(one.take());
  }
  if (input.empty()) return {};
  auto checkpointed = store_.checkpoint_now(input);
  if (!checkpointed) return std::unexpected(checkpointed.error());
  for (size_t i = 0; i < partitions.size(); ++i) {
    partitions[i]->take_whole_checkpoint(std::move((*checkpointed)[i]));
    partitions_.at(partitions[i]->id()).snapshot = snapshot_of(*partitions[i]);
  }
  return {};
}

void LogRecovery::open_shards(OpenedLog& opened) {
  const auto shards = static_cast<unsigned>(runtime_.loops.size());
  LogShardOptions shard_options = options_.shard;
  shard_options.log_dir = options_.log_dir;
  for (unsigned shard = 0; shard < shards; ++shard) {
    runtime::Loop& loop = *runtime_.loops[shard];
    opened.shards.push_back(
        std::make_unique<LogShard>(runtime_, loop, wals_.open(shard, loop, options_.disk_full), store_, shard_options));
    opened.shards.back()->set_disk_full(options_.disk_full);
  }
  for (auto& [id, recovered] : partitions_) {
    const auto known = known_(id);
    opened.shards[shard_of(id, shards)]->add_recovered(std::move(recovered.snapshot), known->config, known->leader_epoch,
                                                       std::move(recovered.tail));
  }
}

Result<OpenedLog> open_log(runtime::Runtime& runtime, SegmentStore& store, WalSessions& wals, const LogOptions& options,
                           const PartitionLookup& known, const PartitionList& all) {
  WEIR_CHECK(!runtime.loops.empty());
  return LogRecovery(runtime, store, wals, options, known, all).run();
}

Result<void> close_log(WalSessions& wals, const std::vector<std::unique_ptr<LogShard>>& shards) {
  std::vector<const WalBackend*> logs;
  for (const auto& shard : shards) logs.push_back(&shard->wal());
  return wals.end(logs);
}

}  // namespace weir::storage
