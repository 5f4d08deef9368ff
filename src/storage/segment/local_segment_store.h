// SegmentStore in local log directories. Segments are files `<topic id>-<index>/<base offset>.log`, and `manifest.db` in home has
// the manifests of all of them. Format: docs/formats/segments.md.
//
// Checkpoints and drops run one after the other on the pool. Reads run beside them and may overtake them. A checkpoint writes the
// runs of all partitions, makes all files durable, and commits one transaction. Only then the manifests in memory change, index
// entries are written and old files go. A failure before the commit leaves all manifests as they were. Checkpoints write, and
// removals go, in pieces. Between two pieces the throttle may hold them back.
//
// The log directories are locked by this process. `files` and `pool` outlive the store; no task of the pool may
// run after it is gone.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/clock.h"
#include "runtime/file.h"
#include "storage/background/paced_queue.h"
#include "storage/segment/checkpoint_plan.h"
#include "storage/segment/log_directory_store.h"
#include "storage/segment/manifest_database.h"
#include "storage/segment/segment_reader.h"
#include "storage/segment/segment_store.h"
#include "storage/segment/segment_writer.h"

namespace weir::storage {

class LocalSegmentStore final : public SegmentStore, public LogDirectoryStore {
 public:
  struct Options {
    std::string log_dir;  // home; exists
    SegmentReader::Options reading = {};
    BackgroundThrottle* throttle = nullptr;  // outlives the store; null: nothing is held back
    bool paired = false;                     // NotedDatabase::pair with manifest_database() comes before anything else
  };
  static Result<std::unique_ptr<LocalSegmentStore>> open(runtime::FileSystem& files, runtime::Pool& pool,
                                                         const runtime::Clock& clock, Options options);

  // A log directory beside home. A fresh one was used by nobody, and its id is not written into it yet.
  struct ExtraDirectory {
    std::string path;
    Uuid id;
    bool fresh = false;
    std::string marker = {};  // a file in it, from its first use on: without that file nothing new is made there
  };
  NotedDatabase& manifest_database() { return *manifests_; }

  LogDirectories& directories() override { return directories_; }
  // Names all directories beside home. Blocking, once, before load(). Refuses, and changes nothing, if a directory with segments
  // is missing, or if a directory holds segments of another store.
  Result<void> use_directories(const std::vector<ExtraDirectory>& extra);

  Result<std::vector<LoadedPartition>> load(const PartitionDeleted& deleted = {}) override;
  Result<void> sync_removals() override;
  void checkpoint(std::vector<CheckpointPartition> partitions, runtime::Executor& reply_to,
                  Function<void(Result<std::vector<PartitionManifest>>)> done) override;
  void read(const PartitionManifest& manifest, int64_t offset, ReadLimit limit, runtime::Executor& reply_to,
            Function<void(Result<SegmentRead>)> done) override;
  void find_timestamp(PartitionManifest manifest, int64_t timestamp, runtime::Executor& reply_to,
                      Function<void(Result<TimestampPosition>)> done) override;
  void drop(const PartitionId& partition, int64_t delay_ms, runtime::Executor& reply_to,
            Function<void(Result<void>)> done) override;
  Result<uint32_t> begin_rewrite(const PartitionId& partition) override;
  Result<std::unique_ptr<SegmentSource>> open_segment(const PartitionId& partition, const SegmentInfo& segment) override;
  Result<std::vector<AbortedTransaction>> aborted_transactions(const PartitionId& partition, const SegmentInfo& segment) override;
  Result<std::unique_ptr<SegmentSink>> create_segment(const PartitionId& partition, int64_t base_offset,
                                                      uint32_t generation) override;
  void replace(SegmentReplacement replacement, runtime::Executor& reply_to,
               Function<void(Result<PartitionManifest>)> done) override;
  void discard(const SegmentReplacement& replacement, runtime::Executor& reply_to) override;
  void set_directory(const PartitionId& partition, uint32_t directory, runtime::Executor& reply_to,
                     Function<void(Result<PartitionPlace>)> done) override;
  Result<std::unique_ptr<SegmentCopy>> copy_segment(const PartitionId& partition, const SegmentInfo& segment,
                                                    CopyTarget target) override;
  Result<std::vector<WalSession>> wal_sessions() override;
  Result<std::vector<WalFile>> wal_files() override;
  Result<void> put_wal_sessions(const std::vector<WalSession>& all) override;
  Result<void> put_wal_sessions_and_files(const std::vector<WalSession>& sessions, const std::vector<WalFile>& files) override;
  // These do not wait for a checkpoint under way: the write-ahead log waits for them.
  Result<void> note_wal_file(uint32_t shard, uint64_t generation) override;
  Result<void> forget_wal_file(uint32_t shard, uint64_t generation) override;
  Result<void> note_wal_guest(const WalGuest& guest) override;
  Result<std::vector<WalGuest>> wal_guests() override;
  size_t index_bytes() const override { return reader_.index_bytes(); }
  // Removes folders of dropped partitions whose delay is over. Called now and then; checkpoints do it, too.
  void maintain(runtime::Executor& reply_to, Function<void()> done) override;

  // The blocking forms behind the calls, for start-up, tools and tests. No asynchronous call may be under way.
  Result<std::vector<PartitionManifest>> checkpoint_now(const std::vector<CheckpointPartition>& partitions) override;
  Result<SegmentRead> read_now(const PartitionManifest& manifest, int64_t offset, ReadLimit limit) {
    return reader_.read(manifest, offset, limit);
  }
  Result<TimestampPosition> find_timestamp_now(const PartitionManifest& manifest, int64_t timestamp) {
    return reader_.find_timestamp(manifest, timestamp);
  }
  Result<void> drop_now(const PartitionId& partition, int64_t delay_ms);
  void maintain_now();  // all that is due
  Result<PartitionManifest> replace_now(const SegmentReplacement& replacement);
  void discard_now(const SegmentReplacement& replacement);
  Result<PartitionPlace> set_directory_now(const PartitionId& partition, uint32_t directory);

  const SegmentReader& reader() const { return reader_; }
  uint64_t database_syncs() const { return manifests_->syncs(); }

 private:
  struct PartitionState {
    int64_t row = 0;
    PartitionManifest manifest;
    PendingIndex pending;
    int64_t damaged_segment = -1;  // base offset of a segment that cannot be appended to
    uint32_t generation = 0;       // the highest that a rewrite reserved
    bool swept = false;            // of files that an earlier process was to remove
  };
  struct DoomedFolder {
    std::string path;
    int64_t due_ms = 0;
  };
  struct DoomedFile {
    PartitionId partition;
    SegmentInfo segment;
    int64_t due_ms = 0;
  };
  static constexpr int64_t kDueAtOnce = INT64_MIN;
  struct Cycle;
  struct CheckpointCall;

  LocalSegmentStore(runtime::FileSystem& files, runtime::Pool& pool, const runtime::Clock& clock, Options options);
  bool checkpoint_turn(CheckpointCall& call);
  Result<bool> advance(Cycle& cycle);
  Result<void> plan(Cycle& cycle);
  Result<bool> write_piece(Cycle& cycle);
  Result<void> begin_run(Cycle& cycle);
  std::vector<PartitionManifest> adopt(Cycle& cycle);
  void doom_dropped_segments(const CheckpointPlan& plan);
  void write_indexes(const CheckpointPlan& plan);
  void remove_segment_files(const PartitionId& partition, const SegmentInfo& segment);
  void submit_maintenance(runtime::Executor& reply_to, runtime::Task done);
  void remove_dropped_segments();
  bool remove_something(int64_t now_ms);
  bool remove_doomed_segment(int64_t now_ms);
  bool remove_from_doomed_folder(int64_t now_ms);
  Result<void> sweep_segments(const PartitionManifest& manifest, uint32_t directory);
  Result<void> load_places(std::vector<LoadedPartition>& loaded);
  Result<void> sort_out_folders(const LogDirectories::Directory& directory, const PartitionDeleted& deleted,
                                std::vector<LoadedPartition>& loaded);
  Result<void> doom_folder(const std::string& log_dir, const std::string& name, int64_t due_ms);
  Result<void> sync_names(const PartitionId& partition, const std::vector<SegmentInfo>& added);
  void remove_empty_folder(const PartitionId& partition, uint32_t directory);
  void save_places();
  std::string folder_of(const PartitionId& partition, uint32_t directory) const;
  // Makes the folder, if it is not there; kIo if the log directory is not what it was at the start.
  Result<void> make_folder(const PartitionId& partition, uint32_t directory);
  std::string log_path(const PartitionId& partition, const SegmentInfo& segment) const;
  std::string index_path(const PartitionId& partition, const SegmentInfo& segment) const;
  std::string aborted_path(const PartitionId& partition, const SegmentInfo& segment) const;

  runtime::FileSystem& files_;
  runtime::Pool& pool_;
  const runtime::Clock& clock_;
  const Options options_;
  LogDirectories directories_;
  SegmentReader reader_;
  std::unique_ptr<ManifestDatabase> manifests_;

  // Checkpoints of all shards run one at a time. They share one device, and each of them writes a large sequential run. Side by
  // side they would end no sooner, take turns on the device in smaller pieces, and still need a transaction each of the one
  // database. No shard suffers from the queue: when its dirty bytes near their bound, it lifts the throttle for the checkpoint at
  // work (BackgroundThrottle::set_pressure). With several log directories a checkpoint writes to one after the other.
  PacedQueue queue_;

  std::mutex mutex_;  // everything below: checkpoints, drops and the blocking calls exclude each other
  SegmentWriter writer_;
  std::unordered_map<PartitionId, PartitionState> partitions_;
  int64_t next_row_ = 1;
  uint64_t next_doomed_ = 1;
  std::deque<DoomedFolder> doomed_;
  std::deque<DoomedFile> doomed_files_;
};

}  // namespace weir::storage
