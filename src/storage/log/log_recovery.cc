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
#include "storage/log/offline_markers.h"
#include "storage/segment/record_timestamps.h"
#include "storage/wal/replay.h"

namespace weir::storage {

unsigned shard_of(const PartitionId& partition, unsigned shards) {
  return static_cast<unsigned>((std::hash<PartitionId>()(partition) >> 17) % shards);
}

bool unclean_sessions(const std::vector<SegmentStore::WalSession>& sessions) {
  return std::any_of(sessions.begin(), sessions.end(), [](const auto& session) { return !session.sealed; });
}

// One opening of the log; lives in open_log only.
class LogRecovery final : public WalReplayVisitor {
 public:
  LogRecovery(runtime::Runtime& runtime, SegmentStore& store, const LogOptions& options, uint64_t incarnation,
              const PartitionLookup& known, const PartitionList& all)
      : runtime_(runtime),
        store_(store),
        options_(options),
        incarnation_(incarnation),
        known_(known),
        all_(all),
        markers_(*runtime.files, options.log_dir),
        now_ms_(runtime.clock->wall_ms()) {}

  Result<OpenedLog> run();

  void on_batch(ChunkNumber chunk, const BatchFacts& facts, Slice bytes) override;
  void on_corruption(const WalCorruption& corruption) override;

 private:
  Result<void> load_manifests();
  Result<void> replay(unsigned shards, unsigned previous);
  void end_suspicion(unsigned shard, unsigned previous);
  Result<void> mark_offline_durably();
  Result<void> merge_everything();
  Result<void> begin_sessions(unsigned shards, bool resharded);
  Result<void> remove_merged_logs();
  std::vector<SegmentStore::WalSession> sealed_sessions() const;
  void open_shards(OpenedLog& opened, bool resharded);
  Partition* find(const PartitionId& id);
  bool deleted(const PartitionId& id);
  Result<void> refuse_unknown() const;
  int64_t mend_times(const Slice& bytes) const;
  void take_offline(Partition& partition, std::string reason);
  std::string text_of(const PartitionId& id) const;
  std::string wal_directory(unsigned shard) const { return options_.log_dir + "/wal/" + std::to_string(shard); }

  runtime::Runtime& runtime_;
  SegmentStore& store_;
  const LogOptions& options_;
  const uint64_t incarnation_;
  const PartitionLookup& known_;
  const PartitionList& all_;
  OfflineMarkers markers_;
  const int64_t now_ms_;
  std::unordered_map<PartitionId, std::unique_ptr<Partition>> partitions_;
  std::vector<PartitionId> orphans_;            // have a manifest, but their topic was deleted
  std::unordered_set<TopicId> remains_;         // deleted topics of which something is left
  std::map<PartitionId, std::string> unknown_;  // and what was found of them
  std::vector<SegmentStore::WalSession> sessions_;
  std::map<unsigned, WalReplayResult> replayed_;  // by shard of the previous process
  // Of the shard that is replayed: records of unknown partitions are lost; those whose next batch followed without a
  // gap lost none.
  std::string suspicion_;
  std::unordered_set<PartitionId> trusted_;
  std::unordered_map<PartitionId, std::vector<Slice>> stranded_;  // of offline partitions: batches that nobody merges
  RecoveryStats stats_;
};

Result<OpenedLog> LogRecovery::run() {
  const int64_t started_ns = runtime_.clock->monotonic_ns();
  auto sessions = store_.wal_sessions();
  if (!sessions) return std::unexpected(sessions.error());
  sessions_ = std::move(*sessions);
  stats_.clean = !unclean_sessions(sessions_);
  if (auto r = load_manifests(); !r) return std::unexpected(r.error());

  const auto shards = static_cast<unsigned>(runtime_.loops.size());
  unsigned previous = 0;
  for (const auto& session : sessions_) previous = std::max(previous, session.shard + 1);
  const bool resharded = previous != 0 && previous != shards;
  if (auto r = replay(std::max(previous, shards), previous != 0 ? previous : shards); !r) return std::unexpected(r.error());
  if (auto r = refuse_unknown(); !r) return std::unexpected(r.error());
  if (auto r = mark_offline_durably(); !r) return std::unexpected(r.error());
  if (resharded) {
    log_info("log", "The number of shards changed from {} to {}: merging the write-ahead log before serving", previous, shards);
    if (auto r = merge_everything(); !r) return std::unexpected(r.error());
  }
  if (auto r = begin_sessions(shards, resharded); !r) return std::unexpected(r.error());

  OpenedLog opened;
  stats_.partitions = partitions_.size();
  open_shards(opened, resharded);
  for (const PartitionId& id : orphans_) {
    store_.drop(id, 0, *runtime_.loops[0], [](Result<void>) {});
  }
  stats_.duration_ms = (runtime_.clock->monotonic_ns() - started_ns) / runtime::kMillisecond;
  opened.stats = stats_;
  opened.remains = std::move(remains_);
  return opened;
}

Result<void> LogRecovery::load_manifests() {
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
    if (!entry.has_row) continue;  // of a merge that is repeated
    find(id)->restore(std::move(entry.manifest), std::move(entry.producers));
  }
  auto offline = markers_.load();
  if (!offline) return std::unexpected(offline.error());
  for (const auto& [id, reason] : *offline) {
    if (Partition* partition = find(id)) {
      take_offline(*partition, reason);
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

// The partition, created on first sight; null if it was deleted, or is not known.
Partition* LogRecovery::find(const PartitionId& id) {
  const auto it = partitions_.find(id);
  if (it != partitions_.end()) return it->second.get();
  const auto known = known_(id);
  if (!known || known->deleted) return nullptr;
  return partitions_.emplace(id, std::make_unique<Partition>(id, known->config, known->leader_epoch)).first->second.get();
}

Result<void> LogRecovery::replay(unsigned shards, unsigned previous) {
  const auto noted = store_.wal_files();
  if (!noted) return std::unexpected(noted.error());
  for (unsigned shard = 0; shard < shards; ++shard) {
    std::vector<SegmentStore::WalSession> rows;
    for (const auto& session : sessions_) {
      if (session.shard == shard) rows.push_back(session);
    }
    WalReplayOptions how;
    for (const auto& file : *noted) {
      if (file.shard == shard) how.noted.push_back(file.generation);
    }
    auto result = replay_wal(*runtime_.files, wal_directory(shard), shard, rows, *this, how);
    if (!result) return std::unexpected(result.error());
    end_suspicion(shard, previous);
    stats_.bytes_read += result->bytes_read;
    stats_.chunks += result->chunks;
    stats_.torn_bytes += result->torn_bytes;
    replayed_.emplace(shard, std::move(*result));
  }
  // All that replay delivered is durable now, so it may be read.
  for (auto& [id, partition] : partitions_) partition->advance_high_watermark(partition->log_end_offset());
  return {};
}

// Whoever has not shown since that nothing of it is missing may have lost records.
void LogRecovery::end_suspicion(unsigned shard, unsigned previous) {
  if (suspicion_.empty()) return;
  if (all_) {
    for (const PartitionId& id : all_()) (void)find(id);
  }
  for (auto& [id, partition] : partitions_) {
    if (shard_of(id, previous) == shard && !trusted_.contains(id)) take_offline(*partition, suspicion_);
  }
  suspicion_.clear();
  trusted_.clear();
}

void LogRecovery::on_batch(ChunkNumber chunk, const BatchFacts& noted, Slice bytes) {
  BatchFacts facts = noted;
  Partition* partition = find(facts.partition);
  if (!partition) {
    if (!deleted(facts.partition)) unknown_.try_emplace(facts.partition, "records in the write-ahead log");
    return;
  }
  if (facts.last_offset() < partition->log_end_offset()) {
    // Merged already, or its records were deleted before they were: then the producer is known from here only, and a
    // batch that it sends again is still a duplicate.
    if (!suspicion_.empty()) trusted_.insert(facts.partition);
    if (facts.base_offset >= partition->manifest().end_offset && !partition->offline()) {
      partition->append_deleted(facts, now_ms_);
    }
    return;
  }
  if (partition->offline()) {
    stranded_[facts.partition].push_back(std::move(bytes));
    return;
  }
  if (facts.base_offset != partition->log_end_offset()) {
    // Offsets below a log start that lies in the WAL were deleted and need not be there.
    const bool covered =
        facts.base_offset < partition->log_end_offset() && partition->log_end_offset() == partition->log_start_offset();
    if (!covered) {
      stranded_[facts.partition].push_back(std::move(bytes));
      return take_offline(*partition, "the write-ahead log lacks acknowledged records between offsets " +
                                          std::to_string(partition->log_end_offset()) + " and " +
                                          std::to_string(facts.base_offset));
    }
  }
  if (!suspicion_.empty()) trusted_.insert(facts.partition);
  if (facts.appended_ms == 0) {
    facts.max_timestamp = mend_times(bytes);
    facts.appended_ms = now_ms_;
  }
  partition->append(facts, std::move(bytes), chunk, now_ms_);
  // Forgotten producers come back with their batches; all shards together stay within the bound once they run.
  while (partition->producers().size() > options_.shard.producers_max && partition->evict_producer() > 0) {
  }
  ++stats_.batches;
}

// An earlier version appended what producers' headers say about time. Records that cannot be read are as old as this start.
int64_t LogRecovery::mend_times(const Slice& bytes) const {
  const auto found = max_timestamp_in(bytes.bytes());
  if (!found) return now_ms_;
  const bool log_append_time = protocol::BatchHeader::parse(bytes.data).log_append_time();
  protocol::patch_timestamps({const_cast<uint8_t*>(bytes.data), bytes.size}, log_append_time, *found);
  return *found;
}

void LogRecovery::on_corruption(const WalCorruption& corruption) {
  log_error("log", "{}", corruption.message);
  for (const BatchFacts& batch : corruption.lost) {
    Partition* partition = find(batch.partition);
    if (!partition || batch.last_offset() < partition->log_end_offset()) continue;  // deleted, or in a segment already
    take_offline(*partition, corruption.message);
  }
  if (!corruption.unknown_partitions) return;
  suspicion_ = corruption.message;
  trusted_.clear();
}

void LogRecovery::take_offline(Partition& partition, std::string reason) {
  if (partition.offline()) return;
  log_event(LogLevel::kError, "log",
            {.what = fmt::format("Partition {} is offline, others serve on", text_of(partition.id())),
             .reason = reason,
             .remedy = kOfflineRemedy});
  partition.take_offline(std::move(reason));
}

std::string LogRecovery::text_of(const PartitionId& id) const {
  const auto known = known_(id);
  return partition_text(known ? known->topic_name : std::string_view(), id);
}

Result<void> LogRecovery::mark_offline_durably() {
  for (auto& [id, partition] : partitions_) {
    if (!partition->offline()) continue;
    ++stats_.offline_partitions;
    if (auto r = markers_.put(id, partition->offline_reason()); !r) return r;
    if (const auto found = stranded_.find(id); found != stranded_.end()) {
      if (auto r = markers_.keep(id, std::move(found->second)); !r) return r;
    }
  }
  return {};
}

// Everything in memory goes into segments now, so that the old WAL is not needed any more.
Result<void> LogRecovery::merge_everything() {
  std::vector<MergePartition> input;
  for (auto& [id, partition] : partitions_) {
    if (!partition->unmerged()) continue;
    MergeInput one(*partition, UINT64_MAX);
    one.add(SIZE_MAX);
    input.push_back(one.take());
  }
  auto merged = store_.merge_now(input);
  if (!merged) return std::unexpected(merged.error());
  for (PartitionManifest& manifest : *merged) {
    Partition& partition = *partitions_.at(manifest.partition);
    partition.take_whole_merge(std::move(manifest));
  }
  return {};
}

// The sessions that were replayed and still have files, sealed where they end.
std::vector<SegmentStore::WalSession> LogRecovery::sealed_sessions() const {
  std::vector<SegmentStore::WalSession> rows;
  for (const auto& [shard, result] : replayed_) {
    for (const auto& session : result.sessions) {
      if (!session.has_files) continue;
      rows.push_back(session.row);
      rows.back().sealed = true;
      rows.back().last_chunk = session.end_chunk;
    }
  }
  return rows;
}

// All of the earlier shards' logs lies in segments. Their files are forgotten first and removed in order, so that a start
// after a crash in between misses nothing and finds nothing that no session knows.
Result<void> LogRecovery::remove_merged_logs() {
  if (auto r = store_.put_wal_sessions_and_files(sealed_sessions(), {}); !r) return r;
  for (const auto& [shard, result] : replayed_) {
    const std::string directory = wal_directory(shard);
    for (const EarlierWalFile& file : result.files) {
      auto r = runtime_.files->remove(directory + "/" + wal_file_name(file.generation, WalFileKind::kLog));
      if (r) r = runtime_.files->sync_directory(directory);
      if (!r) return r;
    }
    if (auto r = runtime_.files->remove_all(directory); !r) return r;
  }
  if (auto r = runtime_.files->create_directory(options_.log_dir + "/wal"); !r) return r;
  return runtime_.files->sync_directory(options_.log_dir + "/wal");
}

Result<void> LogRecovery::begin_sessions(unsigned shards, bool resharded) {
  std::vector<SegmentStore::WalSession> rows;
  std::vector<SegmentStore::WalFile> files;
  if (resharded) {
    if (auto r = remove_merged_logs(); !r) return r;
  } else {
    rows = sealed_sessions();
    for (const auto& [shard, result] : replayed_) {
      for (const EarlierWalFile& file : result.files) files.push_back({shard, file.generation});
    }
  }
  for (unsigned shard = 0; shard < shards; ++shard) {
    const ChunkNumber first = replayed_.contains(shard) ? replayed_.at(shard).next_chunk : 1;
    rows.push_back({shard, incarnation_, first, 0, false});
  }
  if (auto r = store_.put_wal_sessions_and_files(rows, files); !r) return r;
  for (const auto& [shard, result] : replayed_) {
    for (const std::string& mark : result.given_up) {
      if (auto r = runtime_.files->remove(mark); !r && r.error().code != ErrorCode::kNotFound) return r;
    }
  }
  return {};
}

void LogRecovery::open_shards(OpenedLog& opened, bool resharded) {
  const auto shards = static_cast<unsigned>(runtime_.loops.size());
  LogShardOptions shard_options = options_.shard;
  shard_options.log_dir = options_.log_dir;
  for (unsigned shard = 0; shard < shards; ++shard) {
    LocalWalOptions wal;
    wal.directory = wal_directory(shard);
    wal.shard = shard;
    wal.incarnation = incarnation_;
    wal.flush_to_device = options_.flush_to_device;
    wal.throttle = options_.shard.throttle;
    wal.file_register = &store_;
    wal.save_space = options_.disk_full;
    wal.file_bytes = options_.wal_file_bytes;
    wal.first_file_bytes = std::min(wal.first_file_bytes, options_.wal_file_bytes);
    WalReplayResult& result = replayed_.at(shard);
    wal.first_chunk = result.next_chunk;
    wal.next_generation = result.next_generation;
    if (!resharded) {
      wal.earlier = std::move(result.files);
      wal.leftovers = std::move(result.leftovers);
    }
    runtime::Loop& loop = *runtime_.loops[shard];
    opened.shards.push_back(std::make_unique<LogShard>(
        runtime_, loop, LocalWal::create(*runtime_.files, loop, *runtime_.pool, std::move(wal)), store_, shard_options));
    opened.shards.back()->set_disk_full(options_.disk_full);
  }
  for (auto& [id, partition] : partitions_) opened.shards[shard_of(id, shards)]->add(std::move(partition));
}

Result<OpenedLog> open_log(runtime::Runtime& runtime, SegmentStore& store, const LogOptions& options, uint64_t incarnation,
                           const PartitionLookup& known, const PartitionList& all) {
  WEIR_CHECK(incarnation != 0 && !runtime.loops.empty());
  return LogRecovery(runtime, store, options, incarnation, known, all).run();
}

Result<void> close_log(SegmentStore& store, const std::vector<std::unique_ptr<LogShard>>& shards) {
  auto sessions = store.wal_sessions();
  if (!sessions) return std::unexpected(sessions.error());
  for (auto& session : *sessions) {
    if (session.sealed || session.shard >= shards.size()) continue;
    LogShard& shard = *shards[session.shard];
    if (shard.failed()) continue;  // not clean: recovery has to look
    session.sealed = true;
    session.last_chunk = shard.wal().durable();
  }
  return store.put_wal_sessions(*sessions);
}

}  // namespace weir::storage
