#include "storage/segment/local_segment_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "base/log.h"
#include "storage/segment/segment_names.h"

namespace weir::storage {

namespace {

constexpr const char* kDatabaseName = "manifest.db";

// Returns whether <log dir>/wal/<shard>/ holds files of a write-ahead log.
Result<bool> has_wal_files(runtime::FileSystem& files, const std::string& log_dir) {
  const std::string wal = log_dir + "/wal";
  auto exists = files.exists(wal);
  if (!exists || !*exists) return exists;
  auto shards = files.list(wal);
  if (!shards) return std::unexpected(std::move(shards.error()));
  for (const auto& shard : *shards) {
    if (!shard.is_directory) continue;
    auto entries = files.list(wal + "/" + shard.name);
    if (!entries) return std::unexpected(std::move(entries.error()));
    if (std::ranges::any_of(*entries, [](const auto& entry) { return entry.name.ends_with(".wal"); })) return true;
  }
  return false;
}

// Without the database, the folders of a log directory would look like garbage and be removed. The files of the write-ahead log
// would look as if they belonged to another broker.
Result<void> refuse_orphans(runtime::FileSystem& files, const std::string& log_dir) {
  auto exists = files.exists(log_dir + "/" + kDatabaseName);
  if (!exists) return std::unexpected(std::move(exists.error()));
  if (*exists) return {};
  auto entries = files.list(log_dir);
  if (!entries) return std::unexpected(std::move(entries.error()));
  for (const auto& entry : *entries) {
    if (!entry.is_directory || !parse_partition_folder_name(entry.name)) continue;
    return fail(ErrorCode::kCorrupt,
                fmt::format("{} has partition folders but no {}: bring it back, or move the folders away to start empty", log_dir,
                            kDatabaseName));
  }
  auto logged = has_wal_files(files, log_dir);
  if (!logged) return std::unexpected(std::move(logged.error()));
  if (*logged) {
    return fail(ErrorCode::kCorrupt,
                fmt::format("{} has a write-ahead log (folder wal) but no {}: bring it back, or move the folder away to "
                            "start empty",
                            log_dir, kDatabaseName));
  }
  return {};
}

}  // namespace

// A checkpoint on its way.
struct LocalSegmentStore::Cycle {
  const std::vector<CheckpointPartition>& partitions;
  int64_t next_row = 0;
  std::vector<CheckpointPlan> plans = {};              // as partitions
  std::vector<ManifestDatabase::Change> changes = {};  // as partitions
  // The run that is written now. Everything is written when `partition` is behind the last plan.
  size_t partition = 0, run = 0;
  bool damaged = false;  // a segment is damaged, so this plan cannot be carried out
  // For the throttle.
  uint64_t bytes = 0;
  int64_t busy_ns = 0;
  bool held = false;
};

struct LocalSegmentStore::CheckpointCall {
  const std::vector<CheckpointPartition>& partitions;
  std::unique_ptr<Cycle> cycle;
  Result<std::vector<PartitionManifest>> result;
};

LocalSegmentStore::LocalSegmentStore(runtime::FileSystem& files, runtime::Pool& pool, const runtime::Clock& clock,
                                     Options options)
    : files_(files),
      pool_(pool),
      clock_(clock),
      options_(std::move(options)),
      directories_(options_.log_dir),
      reader_(files, directories_, options_.reading),
      queue_(pool, options_.throttle),
      writer_(files) {}

Result<std::unique_ptr<LocalSegmentStore>> LocalSegmentStore::open(runtime::FileSystem& files, runtime::Pool& pool,
                                                                   const runtime::Clock& clock, Options options) {
  std::unique_ptr<LocalSegmentStore> store(new LocalSegmentStore(files, pool, clock, std::move(options)));
  const std::string path = store->options_.log_dir + "/" + kDatabaseName;
  if (auto done = refuse_orphans(files, store->options_.log_dir); !done) return std::unexpected(std::move(done.error()));
  auto manifests = ManifestDatabase::open(files, path, &clock, store->options_.paired);
  if (!manifests) return std::unexpected(std::move(manifests.error()));
  store->manifests_ = std::move(*manifests);
  return store;
}

Result<std::vector<LoadedPartition>> LocalSegmentStore::load(const PartitionDeleted& deleted) {
  std::lock_guard lock(mutex_);
  auto rows = manifests_->load();
  if (!rows) return std::unexpected(std::move(rows.error()));
  partitions_.clear();
  partitions_.reserve(rows->size());
  std::vector<LoadedPartition> loaded;
  loaded.reserve(rows->size());
  for (auto& row : *rows) {
    PartitionState& state = partitions_[row.partition.manifest.partition];
    state.row = row.row;
    state.generation = static_cast<uint32_t>(row.generation);
    state.manifest = row.partition.manifest;
    next_row_ = std::max(next_row_, row.row + 1);
    loaded.push_back(std::move(row.partition));
  }
  if (auto done = load_places(loaded); !done) return std::unexpected(std::move(done.error()));
  doomed_.clear();
  doomed_files_.clear();
  for (const LogDirectories::Directory& directory : directories_.all()) {
    if (auto done = sort_out_folders(directory, deleted, loaded); !done) return std::unexpected(std::move(done.error()));
  }
  return loaded;
}

void LocalSegmentStore::checkpoint(std::vector<CheckpointPartition> partitions, runtime::Executor& reply_to,
                                   Function<void(Result<std::vector<PartitionManifest>>)> done) {
  struct Call {
    std::vector<CheckpointPartition> partitions;
    Function<void(Result<std::vector<PartitionManifest>>)> done;
    CheckpointCall checkpoint{partitions, nullptr, {}};
  };
  std::shared_ptr<Call> call(new Call{std::move(partitions), std::move(done)});
  queue_.submit(
      [this, call, &reply_to] {
        if (!checkpoint_turn(call->checkpoint)) return false;
        call->partitions.clear();  // lets go of the batches' memory
        submit_maintenance(reply_to, [] {});
        return true;
      },
      reply_to, [call] { call->done(std::move(call->checkpoint.result)); });
}

void LocalSegmentStore::read(const PartitionManifest& manifest, int64_t offset, ReadLimit limit, runtime::Executor& reply_to,
                             Function<void(Result<SegmentRead>)> done) {
  const size_t number = segment_of(manifest, offset);
  if (number == manifest.segments.size()) {
    reply_to.post([done = std::move(done), read = reader_.read(manifest, offset, limit)]() mutable { done(std::move(read)); });
    return;
  }
  if (auto ready = reader_.read_cached(manifest, number, offset, limit)) {
    reply_to.post([done = std::move(done), read = std::move(*ready)]() mutable { done(std::move(read)); });
    return;
  }
  // A manifest may have thousands of segments. Only one of them goes to the pool.
  struct Call {
    SegmentReader::Target target;
    Function<void(Result<SegmentRead>)> done;
    Result<SegmentRead> result;
  };
  auto call = std::make_shared<Call>(SegmentReader::target_of(manifest, number, limit), std::move(done));
  pool_.submit([this, call, offset, limit] { call->result = reader_.read(call->target, offset, limit); }, reply_to,
               [call] { call->done(std::move(call->result)); });
}

void LocalSegmentStore::find_timestamp(PartitionManifest manifest, int64_t timestamp, runtime::Executor& reply_to,
                                       Function<void(Result<TimestampPosition>)> done) {
  struct Call {
    PartitionManifest manifest;
    Function<void(Result<TimestampPosition>)> done;
    Result<TimestampPosition> result;
  };
  auto call = std::make_shared<Call>(std::move(manifest), std::move(done));
  pool_.submit([this, call, timestamp] { call->result = reader_.find_timestamp(call->manifest, timestamp); }, reply_to,
               [call] { call->done(std::move(call->result)); });
}

void LocalSegmentStore::drop(const PartitionId& partition, int64_t delay_ms, runtime::Executor& reply_to,
                             Function<void(Result<void>)> done) {
  struct Call {
    Function<void(Result<void>)> done;
    Result<void> result;
  };
  auto call = std::make_shared<Call>(std::move(done));
  queue_.submit(
      [this, call, partition, delay_ms] {
        call->result = drop_now(partition, delay_ms);
        return true;
      },
      reply_to, [call] { call->done(std::move(call->result)); });
}

Result<std::vector<PartitionManifest>> LocalSegmentStore::checkpoint_now(const std::vector<CheckpointPartition>& partitions) {
  CheckpointCall call{partitions, nullptr, {}};
  while (!checkpoint_turn(call)) {
  }
  remove_dropped_segments();
  return std::move(call.result);
}

// Returns true once the checkpoint is over. `call.result` is its outcome then.
bool LocalSegmentStore::checkpoint_turn(CheckpointCall& call) {
  std::lock_guard lock(mutex_);
  if (!call.cycle) {
    // A power cut might still bring an earlier checkpoint to life. Its files must not be touched.
    if (auto done = manifests_->settle(); !done) {
      call.result = std::unexpected(std::move(done.error()));
      return true;
    }
    call.cycle.reset(new Cycle{call.partitions, next_row_});
    writer_.start();
    if (auto done = plan(*call.cycle); !done) {
      call.result = std::unexpected(std::move(done.error()));
      return true;
    }
  }
  auto done = advance(*call.cycle);
  if (!done) {
    call.result = std::unexpected(std::move(done.error()));
    return true;
  }
  if (*done) {
    call.result = adopt(*call.cycle);
    return true;
  }
  // Damaged segments are set aside now, and later batches go to new segments. So one bad file does not hold up the rest.
  if (call.cycle->partition == call.cycle->plans.size()) call.cycle.reset();
  return false;
}

// Writes a piece. After the last piece it makes all of them durable, commits, and returns true. If it returns false though
// everything is written, it found damage: nothing is committed, and a new plan is needed.
Result<bool> LocalSegmentStore::advance(Cycle& cycle) {
  auto written = write_piece(cycle);
  const int64_t began_ns = clock_.monotonic_ns();
  Result<void> done;
  if (!written) done = std::unexpected(std::move(written.error()));
  if (written && !*written) return false;
  if (done && !cycle.damaged) done = writer_.make_durable();
  if (!done || cycle.damaged) writer_.undo();
  writer_.start();
  if (!done) return std::unexpected(std::move(done.error()));
  if (cycle.damaged) return false;
  cycle.busy_ns += clock_.monotonic_ns() - began_ns;
  if (options_.throttle && !cycle.held) options_.throttle->measured(cycle.bytes, cycle.busy_ns);
  // From here on nothing is taken back. If the commit fails, its outcome may be open. The outcome of a commit between two pieces
  // (begin_rewrite) may be open as well.
  if (auto settled = manifests_->settle(); !settled) return std::unexpected(std::move(settled.error()));
  if (auto committed = manifests_->commit(cycle.changes); !committed) return std::unexpected(std::move(committed.error()));
  return true;
}

Result<void> LocalSegmentStore::plan(Cycle& cycle) {
  cycle.plans.reserve(cycle.partitions.size());
  cycle.changes.reserve(cycle.partitions.size());
  std::unordered_set<PartitionId> seen;
  for (const CheckpointPartition& checkpoint : cycle.partitions) {
    if (!seen.insert(checkpoint.partition).second) {
      return fail(ErrorCode::kInvalid, fmt::format("checkpoint names {} twice", partition_folder_name(checkpoint.partition)));
    }
    const auto found = partitions_.find(checkpoint.partition);
    const bool created = found == partitions_.end();
    PartitionManifest fresh;
    if (created) {
      fresh.partition = checkpoint.partition;
      fresh.log_start_offset = checkpoint.log_start_offset;
      // The log start may lie inside a batch of this checkpoint. The recovery point must not pass the base offset of that batch.
      fresh.end_offset = checkpoint.batches.empty() ? 0 : checkpoint.batches.front().info.base_offset;
      fresh.place = directories_.place(checkpoint.partition);
    }
    auto planned =
        plan_checkpoint(created ? fresh : found->second.manifest, checkpoint, created ? PendingIndex{} : found->second.pending,
                        options_.reading.spacing, created ? -1 : found->second.damaged_segment);
    if (!planned) return std::unexpected(std::move(planned.error()));
    cycle.plans.push_back(std::move(*planned));
    cycle.changes.push_back({created ? cycle.next_row++ : found->second.row, created, &cycle.plans.back(), &checkpoint,
                             created && directories_.several()});
  }
  return {};
}

// Returns true once all is written.
Result<bool> LocalSegmentStore::write_piece(Cycle& cycle) {
  BackgroundThrottle* const throttle = options_.throttle;
  const uint64_t bytes_max = throttle ? throttle->piece_bytes() : UINT64_MAX;
  const int64_t began_ns = clock_.monotonic_ns();
  uint64_t bytes = 0;
  while (cycle.partition < cycle.plans.size() && bytes < bytes_max) {
    if (!writer_.in_run()) {
      if (auto done = begin_run(cycle); !done) return std::unexpected(std::move(done.error()));
      continue;
    }
    auto written = writer_.write_some(bytes_max - bytes);
    if (!written) return std::unexpected(std::move(written.error()));
    bytes += *written;
    if (!writer_.in_run()) ++cycle.run;
  }
  cycle.bytes += bytes;
  if (throttle && bytes > 0) {
    const int64_t busy_ns = clock_.monotonic_ns() - began_ns;
    cycle.busy_ns += busy_ns;
    cycle.held |= throttle->state().holding;
    throttle->wrote(BackgroundJob::kCheckpoint, bytes, busy_ns);
  }
  return cycle.partition == cycle.plans.size();
}

// Begins the next run, or goes on to the next partition. Remembers damaged segments, so that a new plan avoids them. Only the
// first run of a partition can meet damage, because the others create their files.
Result<void> LocalSegmentStore::begin_run(Cycle& cycle) {
  const CheckpointPlan& plan = cycle.plans[cycle.partition];
  if (cycle.run == plan.writes.size()) {
    ++cycle.partition;
    cycle.run = 0;
    return {};
  }
  const CheckpointPartition& checkpoint = cycle.partitions[cycle.partition];
  const std::string folder = partition_folder_name(checkpoint.partition);
  const auto known = partitions_.find(checkpoint.partition);
  const SegmentWrite& run = plan.writes[cycle.run];
  const std::string& log_dir = directories_.path(run.directory);
  if (cycle.run == 0 && (known == partitions_.end() || known->second.manifest.segments.empty() || run.created)) {
    if (auto done = make_folder(checkpoint.partition, run.directory); !done) return done;
    writer_.note_folder(log_dir);
  }
  const auto batches = std::span(checkpoint.batches).subspan(run.first_batch, run.batch_count);
  const auto aborted = std::span(checkpoint.aborted).subspan(run.first_aborted, run.aborted_count);
  Result<void> done;
  if (!aborted.empty()) {
    done = writer_.add_aborted(log_dir, folder, aborted_index_file_name(run.base_offset, run.generation), run.aborted_before,
                               aborted);
  }
  if (done) {
    done = writer_.begin_run(log_dir, folder, segment_file_name(run.base_offset, run.generation), run.position, run.created,
                             batches);
  }
  if (done || done.error().code != ErrorCode::kCorrupt) return done;
  log_error("storage", "{}; later records go to a new segment", done.error().message);
  partitions_.at(plan.after.partition).damaged_segment = plan.writes.front().base_offset;
  cycle.damaged = true;
  ++cycle.partition;
  cycle.run = 0;
  return {};
}

std::vector<PartitionManifest> LocalSegmentStore::adopt(Cycle& cycle) {
  next_row_ = cycle.next_row;
  std::vector<PartitionManifest> manifests;
  manifests.reserve(cycle.plans.size());
  for (size_t i = 0; i < cycle.plans.size(); ++i) {
    CheckpointPlan& plan = cycle.plans[i];
    doom_dropped_segments(plan);
    write_indexes(plan);
    PartitionState& state = partitions_[plan.after.partition];
    state.row = cycle.changes[i].row;
    state.pending = std::move(plan.pending);
    state.manifest = std::move(plan.after);
    manifests.push_back(state.manifest);
  }
  return manifests;
}

// `plan` is not adopted yet: the segments are still in the manifest in memory.
void LocalSegmentStore::doom_dropped_segments(const CheckpointPlan& plan) {
  if (plan.dropped.empty()) return;
  const auto known = partitions_.find(plan.after.partition);
  for (const int64_t base_offset : plan.dropped) {
    SegmentInfo segment;
    segment.base_offset = base_offset;
    segment.directory = plan.after.place.target;
    if (known != partitions_.end()) {
      const auto found = std::ranges::find(known->second.manifest.segments, base_offset, &SegmentInfo::base_offset);
      if (found != known->second.manifest.segments.end()) segment = *found;
    }
    doomed_files_.push_back({plan.after.partition, segment, kDueAtOnce});
  }
  if (known == partitions_.end() || std::exchange(known->second.swept, true)) return;
  if (directories_.several()) return;  // swept at the start
  // An earlier process may have left files. Only checkpoints make files of generation 0, and they make none below the end.
  const auto& left = plan.after.segments;
  const int64_t first = left.empty() ? plan.after.end_offset : left.front().base_offset;
  auto entries = files_.list(folder_of(plan.after.partition, 0));
  if (!entries) return;
  for (const auto& entry : *entries) {
    const auto name = parse_segment_file_name(entry.name);
    if (!name || name->generation != 0 || name->base_offset >= first) continue;
    if (std::ranges::find(plan.dropped, name->base_offset) != plan.dropped.end()) continue;
    SegmentInfo segment;
    segment.base_offset = name->base_offset;
    doomed_files_.push_back({plan.after.partition, segment, kDueAtOnce});
  }
}

void LocalSegmentStore::write_indexes(const CheckpointPlan& plan) {
  for (const IndexWrite& write : plan.index_writes) {
    SegmentInfo segment;
    segment.base_offset = write.base_offset;
    segment.generation = write.generation;
    segment.directory = write.directory;
    const std::string path = index_path(plan.after.partition, segment);
    auto written = SegmentIndex::append(files_, path, write.base_offset, write.entries);
    // A missing entry only costs time: a scan finds the batch.
    if (!written) log_warn("storage", "index entries could not be written: {}", written.error().message);
  }
}

Result<void> LocalSegmentStore::drop_now(const PartitionId& partition, int64_t delay_ms) {
  std::lock_guard lock(mutex_);
  const auto found = partitions_.find(partition);
  if (found == partitions_.end()) {
    if (!directories_.several()) return {};
    directories_.forget(partition);
    if (auto done = manifests_->settle(); !done) return done;
    return manifests_->drop_place(partition);
  }
  if (auto done = manifests_->settle(); !done) return done;
  if (auto done = manifests_->drop(found->second.row, partition); !done) return done;
  directories_.forget(partition);
  const std::vector<SegmentInfo> segments = std::move(found->second.manifest.segments);
  partitions_.erase(found);
  // The partition is forgotten durably. The rest of its folder goes now, or at the next start.
  for (const LogDirectories::Directory& directory : directories_.all()) {
    auto renamed = doom_folder(directory.path, partition_folder_name(partition), clock_.wall_ms() + delay_ms);
    if (renamed) continue;
    log_warn("storage", "the folder of a deleted partition stays until the next start: {}", renamed.error().message);
  }
  for (const SegmentInfo& segment : segments) reader_.forget(partition, segment);
  return {};
}

Result<std::vector<WalSession>> LocalSegmentStore::wal_sessions() { return manifests_->wal_sessions(); }

Result<std::vector<WalFile>> LocalSegmentStore::wal_files() { return manifests_->wal_files(); }

Result<void> LocalSegmentStore::put_wal_sessions(const std::vector<WalSession>& all) {
  {
    std::lock_guard lock(mutex_);
    save_places();
  }
  return manifests_->put_wal(all, nullptr);
}

Result<void> LocalSegmentStore::put_wal_sessions_and_files(const std::vector<WalSession>& sessions,
                                                           const std::vector<WalFile>& files) {
  return manifests_->put_wal(sessions, &files);
}

Result<void> LocalSegmentStore::note_wal_file(uint32_t shard, uint64_t generation) {
  return manifests_->note_wal_file({shard, generation});
}

Result<void> LocalSegmentStore::forget_wal_file(uint32_t shard, uint64_t generation) {
  return manifests_->forget_wal_file({shard, generation});
}

Result<void> LocalSegmentStore::note_wal_guest(const WalGuest& guest) { return manifests_->note_wal_guest(guest); }

Result<std::vector<WalGuest>> LocalSegmentStore::wal_guests() { return manifests_->wal_guests(); }

}  // namespace weir::storage
