// Manifests, producers, WAL sessions and log directories as rows of `manifest.db` in home, the first log directory. Format:
// docs/formats/segments.md. Any thread may call. Calls take turns, so each waits for at most one transaction.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "storage/segment/checkpoint_plan.h"
#include "storage/segment/segment_store.h"
#include "storage/sqlite/noted_database.h"

namespace weir::storage {

class ManifestDatabase final : public NotedDatabase {
 public:
  ManifestDatabase();
  // `paired`: NotedDatabase::pair comes before anything else.
  static Result<std::unique_ptr<ManifestDatabase>> open(runtime::FileSystem& files, const std::string& path,
                                                        const runtime::Clock* clock, bool paired = false);
  // Opens a database in which rows of partitions may have changed on the disk, for `weir log salvage`. kCorrupt if the files of
  // the partitions cannot tell the right rows. `metadata`: not changed; may be null.
  static Result<std::unique_ptr<ManifestDatabase>> open_damaged(runtime::FileSystem& files, const std::string& path,
                                                                const runtime::Clock* clock, const NotedDatabase* metadata);
  // Returns why rows of all partitions cannot be trusted, and some may be missing. Empty if they can.
  const std::string& distrusted() const { return damage_.whole; }

  struct Loaded {
    int64_t row = 0;         // short name of the partition in the other tables
    int64_t generation = 0;  // the highest that a rewrite reserved
    LoadedPartition partition = {};
    std::string fault = {};    // of its rows, as load_damaged() finds them
    bool bounds_known = true;  // the log reaches from log_start_offset to end_offset at least, whatever else is wrong
  };
  Result<std::vector<Loaded>> load();
  // A partition whose rows cannot be right comes with its fault, and without an id if the id is wrong. load() fails instead. For
  // `weir log salvage`.
  Result<std::vector<Loaded>> load_damaged();
  // Replaces the rows of the partitions in `all`. If they are given, also replaces the rows of the write-ahead log's files and of
  // the directories, in the same transaction. It mends the damage that open_damaged() found, so `all` has each damaged partition.
  struct Remaining;
  Result<void> put_partitions(std::span<const Loaded> all, const std::vector<WalFile>* files, const Remaining* directories);

  struct Change {
    int64_t row = 0;
    bool created = false;
    const CheckpointPlan* plan = nullptr;
    const CheckpointPartition* checkpoint = nullptr;
    bool place = false;  // the place is stored as well
  };
  // One transaction; the only sync is its commit's.
  Result<void> commit(std::span<const Change> changes);
  Result<void> drop(int64_t row, const PartitionId& partition);

  // The directories beside home, under the ids that lie in them.
  struct Directory {
    uint32_t number = 0;
    Uuid id;
    std::string path;  // where it was last; for messages
    uint64_t segments = 0;
  };
  Result<std::vector<Directory>> directories();
  Result<void> put_directories(std::span<const Directory> all);
  // The places of partitions, with and without rows.
  using Places = std::vector<std::pair<PartitionId, PartitionPlace>>;
  // All directories beside home, and the places that change.
  struct Remaining {
    std::vector<Directory> directories;
    Places places;
  };
  Result<Places> places();
  Result<void> put_places(const Places& places);
  Result<void> drop_place(const PartitionId& partition);

  // Reserves the file names of a rewrite. load() returns the highest generation that was reserved.
  Result<void> put_generation(int64_t row, uint32_t generation);
  // Removes the rows of the segments at the base offsets `removed`, and adds rows for `added`, in one transaction.
  Result<void> replace_segments(int64_t row, std::span<const int64_t> removed, std::span<const SegmentInfo> added,
                                int64_t first_dirty_offset, const Places& places = {});

  Result<std::vector<WalSession>> wal_sessions();
  Result<std::vector<WalFile>> wal_files();
  // Replaces all sessions. Replaces all files as well, if they are given.
  Result<void> put_wal(const std::vector<WalSession>& sessions, const std::vector<WalFile>* files);
  Result<void> note_wal_file(const WalFile& file);
  Result<void> forget_wal_file(const WalFile& file);
  Result<void> note_wal_guest(const WalGuest& guest);
  Result<std::vector<WalGuest>> wal_guests();

  // Undoes a commit whose outcome a power cut could still decide. Called before anything else is written.
  Result<void> settle();
  uint64_t syncs() const { return database_->syncs(); }

 private:
  Result<void> upgrade(int64_t from) override;
  Result<void> prepare() override;
  Result<void> find_damage(const NotedDatabase* metadata);
  Result<void> check_directories();
  void tell_damage(std::vector<Loaded>& partitions) const;
  Result<void> settle_now() { return database_->suspect() ? database_->resolve() : Result<void>(); }
  Result<void> store_directories(std::span<const Directory> all);
  Result<void> store_place(const PartitionId& partition, PartitionPlace place);
  Result<void> put_segment(int64_t row, const SegmentInfo& segment);
  Result<void> put_file(const WalFile& file);
  Result<void> put_files(const std::vector<WalFile>& files);
  static std::vector<Loaded>::iterator orphan(std::vector<Loaded>& partitions, int64_t row);
  Result<void> in_transaction(Function<Result<void>()> work);
  Result<void> store_change(const Change& change);
  Result<void> store_producer(int64_t row, const ProducerEntry& entry);
  Result<void> put_exactly(const Loaded& loaded);
  Result<void> remove_rows(int64_t row);
  Result<void> load_segments(std::vector<Loaded>& partitions);
  Result<void> load_producers(std::vector<Loaded>& partitions);

  ContentDamage damage_;
  int64_t least_revision_ = 0;  // of the mended database

  // database_mutex_
  Statement insert_partition_, update_partition_, remove_partition_;
  Statement put_segment_, remove_segment_, remove_segments_;
  Statement put_producer_, remove_producer_, remove_producers_;
  Statement put_session_, note_file_, forget_file_, note_guest_;
  Statement put_generation_, put_dirty_;
  Statement put_place_, remove_place_, put_directory_;
};

}  // namespace weir::storage
