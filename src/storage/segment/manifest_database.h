// Manifests, producers and WAL sessions of a log directory as rows of `<log dir>/manifest.db`. Format:
// docs/formats/segments.md. From any thread: calls take turns, so one waits for at most one transaction.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "storage/segment/merge_plan.h"
#include "storage/segment/segment_store.h"
#include "storage/sqlite/database.h"

namespace weir::storage {

class ManifestDatabase {
 public:
  static Result<std::unique_ptr<ManifestDatabase>> open(runtime::FileSystem& files, const std::string& path,
                                                        const runtime::Clock* clock);

  struct Loaded {
    int64_t row = 0;         // short name of the partition in the other tables
    int64_t generation = 0;  // the highest that a rewrite reserved
    LoadedPartition partition;
  };
  Result<std::vector<Loaded>> load();

  struct Change {
    int64_t row = 0;
    bool created = false;
    const MergePlan* plan = nullptr;
    const MergePartition* merge = nullptr;
  };
  // One transaction; the only sync is its commit's.
  Result<void> commit(std::span<const Change> changes);
  Result<void> drop(int64_t row);
  // Reserves file names for a rewrite; load() tells the highest reserved.
  Result<void> put_generation(int64_t row, uint32_t generation);
  // The rows of `removed` (base offsets) go, those of `added` come, in one transaction.
  Result<void> replace_segments(int64_t row, std::span<const int64_t> removed,
                                std::span<const SegmentInfo> added, int64_t first_dirty_offset);

  Result<std::vector<SegmentStore::WalSession>> wal_sessions();
  Result<std::vector<SegmentStore::WalFile>> wal_files();
  // Replaces all sessions and, if there are any given, all files.
  Result<void> put_wal(const std::vector<SegmentStore::WalSession>& sessions,
                       const std::vector<SegmentStore::WalFile>* files);
  Result<void> note_wal_file(const SegmentStore::WalFile& file);
  Result<void> forget_wal_file(const SegmentStore::WalFile& file);

  // After a commit whose outcome a power cut could still decide: makes it undone. Done before anything else
  // is written.
  Result<void> settle();
  uint64_t syncs() const { return database_->syncs(); }

 private:
  Result<void> prepare_statements();
  Result<void> migrate();
  Result<void> settle_now() { return database_->suspect() ? database_->resolve() : Result<void>(); }
  Result<void> put_segment(int64_t row, const SegmentInfo& segment);
  Result<void> put_file(const SegmentStore::WalFile& file);
  Result<void> check_format(const std::string& path);
  Result<void> in_transaction(Function<Result<void>()> work);
  Result<void> store_change(const Change& change);
  Result<void> store_producer(int64_t row, const ProducerEntry& entry);
  Result<void> load_segments(std::vector<Loaded>& partitions);
  Result<void> load_producers(std::vector<Loaded>& partitions);

  std::mutex mutex_;  // everything below
  std::unique_ptr<Database> database_;
  Statement insert_partition_, update_partition_, remove_partition_;
  Statement put_segment_, remove_segment_, remove_segments_;
  Statement get_producer_, put_producer_, remove_producer_, remove_producers_;
  Statement put_session_, note_file_, forget_file_;
  Statement put_generation_, put_dirty_;
};

// The window of five after a merge: `seen` are the producer's batches of this cycle (or its whole window),
// `before` its stored row.
ProducerEntry complete_producer(const ProducerEntry& before, ProducerEntry seen);

}  // namespace weir::storage
