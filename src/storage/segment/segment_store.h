// Where merged data lives: per partition a list of segments and a manifest. One of the engine's three seams;
// the local implementation keeps files `<base-offset>.log` in Kafka's format and manifests as rows of one
// SQLite database per log directory. Formats: docs/formats/segments.md.
//
// The manifest is the truth: bytes past a segment's recorded length do not exist. A merge cycle writes the
// data of many partitions, makes all of it durable once, then commits all manifests and producer rows in one
// transaction.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "base/function.h"
#include "base/result.h"
#include "runtime/file.h"
#include "runtime/loop.h"
#include "storage/segment/log_directories.h"
#include "storage/types.h"

namespace weir::storage {

struct SegmentInfo {
  int64_t base_offset = 0;
  int64_t next_offset = 0;  // after its last batch
  uint64_t length = 0;      // valid bytes of the file
  int64_t max_timestamp = kNoTimestamp;
  int64_t first_timestamp = kNoTimestamp;  // max timestamp of its first batch; rolling by time counts from it
  int64_t created_ms = 0;                  // wall clock of the first append to it
  uint32_t generation = 0;                 // of its file; 0 as merged, more once compaction rewrote or a move copied it
  uint32_t directory = 0;                  // number of the log directory its file is in
  int64_t modified_ms = 0;                 // wall clock of the last append to it, whatever file it is in
  // Whether its timestamps are those of its records. Earlier versions and Kafka's folders took them from batch headers, which
  // producers get wrong: until somebody looked at the records (log/segment_time_check.h), nothing goes or is hidden for them.
  bool times_known = false;
  // Without times_known: somebody looked, and largest_timestamp() is no less than the times of the records. But headers still
  // lie, for there was no room to write them anew, or some of it cannot be read.
  bool age_known = false;
  // Entries of its index of aborted transactions (aborted_index.h), and the CRC-32C of all their bytes.
  uint32_t aborted = 0;
  uint32_t aborted_crc = 0;

  bool has_age() const { return times_known || age_known; }

  // As Kafka has it, with the time of the file's last change: records without a time are as old as their append.
  int64_t largest_timestamp() const { return max_timestamp >= 0 ? max_timestamp : modified_ms; }
  bool operator==(const SegmentInfo&) const = default;
};

// A partition as of its floor: everything below `end_offset` is in segments, everything from it on in the
// WAL.
struct PartitionManifest {
  PartitionId partition;
  int64_t log_start_offset = 0;
  int64_t end_offset = 0;             // the floor
  std::vector<SegmentInfo> segments;  // ascending, the last one is active; may be empty
  std::vector<EpochStart> epochs;     // ascending
  int64_t first_dirty_offset = 0;     // compaction is done with everything below
  PartitionPlace place;
  bool operator==(const PartitionManifest&) const = default;
};

// The new state of one partition in a merge cycle.
struct MergePartition {
  PartitionId partition;
  struct Batch {
    BatchFacts facts;
    Slice bytes;
  };
  std::vector<Batch> batches;      // contiguous from the manifest's end_offset; may be empty (manifest change only)
  int64_t log_start_offset = 0;    // new log start (never goes back); segments wholly below it are dropped
  std::vector<EpochStart> epochs;  // complete history as of the new floor
  // Producers that wrote in `batches`, as of the new floor but for what they did before this cycle: the store completes the
  // window of five, the open transaction and the coordinator's epoch from its previous row (complete_producer). An epoch change
  // drops the older batches.
  std::vector<ProducerEntry> producers;
  std::vector<int64_t> expired_producers;   // rows to delete
  std::vector<AbortedTransaction> aborted;  // whose markers are in `batches`, in their order
  // Limits that decide when the active segment is rolled.
  uint64_t segment_bytes = 1ull << 30;
  int64_t segment_ms = 7ll * 24 * 3600 * 1000;
};

// What to send for a fetch: memory or a range of a file whose pages were brought in.
struct FileRange {
  std::shared_ptr<runtime::File> file;
  uint64_t offset = 0;
  uint64_t length = 0;
};

// What a read returns at most: whole batches of so many bytes, at least one, all of which end at or below an offset. Between that
// and the end of the segments may be what the reader must not see, such as records of open transactions.
struct ReadLimit {
  uint32_t bytes = 0;
  int64_t end_offset = std::numeric_limits<int64_t>::max();
  bool with_aborted = false;  // SegmentRead::aborted is wanted, for readers of committed records
  ReadLimit(uint32_t max_bytes, int64_t end = std::numeric_limits<int64_t>::max(), bool aborted = false)
      : bytes(max_bytes), end_offset(end), with_aborted(aborted) {}
};

struct SegmentRead {
  FileRange range;           // whole batches, from the one that contains the asked offset; empty if that one is beyond the limit
  int64_t first_offset = 0;  // base offset of the first batch in range
  int64_t next_offset = 0;   // after the last batch in range
  // If they were asked for: transactions whose marker is at or above the asked offset, and that began below next_offset, as far
  // as their markers are in the segments. By marker.
  std::vector<AbortedTransaction> aborted = {};
};

struct TimestampPosition {
  int64_t offset = -1;  // -1: no record with such a timestamp
  int64_t timestamp = kNoTimestamp;
  int32_t leader_epoch = -1;
};

// Segments that compaction wrote or a move copied, and those they take the place of.
struct SegmentReplacement {
  struct Group {
    std::vector<SegmentInfo> sources;  // adjacent in the manifest they came from
    std::vector<SegmentInfo> outputs;  // complete and synced; fewer, or none
  };
  PartitionId partition;
  std::vector<Group> groups;
  int64_t first_dirty_offset = 0;
  int64_t file_delete_delay_ms = 60'000;  // the sources' files stay so long for readers that still use them
  // A copy counts only while its source is as it was, and the partition still goes to the copy's directory.
  bool move = false;
};

class RewrittenSegment;
class SegmentCopy;

struct LoadedPartition {
  PartitionManifest manifest;
  std::vector<ProducerEntry> producers;
  // Without a row it is a folder: of a merge that did not commit, or of a partition that was dropped.
  bool has_row = true;
  bool has_files = false;  // in a folder without a row that does not wait for its removal

  bool empty() const { return has_row ? manifest.segments.empty() && manifest.end_offset == 0 : !has_files; }
};

// True if a deletion of the partition is noted durably. Nothing else counts as one.
using PartitionDeleted = std::function<bool(const PartitionId&)>;

// Which files the write-ahead logs consist of, so that one that vanished is missed at the next start. A file is
// noted after its name is durable and before its first chunk, and forgotten before it loses its name: what is
// noted must be there. Blocking; from any thread.
class WalFileRegister {
 public:
  virtual ~WalFileRegister() = default;
  virtual Result<void> note_wal_file(uint32_t shard, uint64_t generation) = 0;
  virtual Result<void> forget_wal_file(uint32_t shard, uint64_t generation) = 0;
};

// Asynchronous calls run on the pool and complete on `reply_to`; merges and drops of one partition complete
// in order, reads may overtake them and each other. Manifests are changed by the owning shard only, one merge
// at a time per shard.
class SegmentStore : public WalFileRegister {
 public:
  explicit SegmentStore(std::string home = {}) : directories_(std::move(home)) {}

  LogDirectories& directories() { return directories_; }

  // Every partition with a manifest row or with files (blocking; at start, before anything else). Files without a row go
  // if their partition was deleted; others stay.
  virtual Result<std::vector<LoadedPartition>> load(const PartitionDeleted& deleted = {}) = 0;
  // What was removed is certainly gone (blocking, at start).
  virtual Result<void> sync_removals() { return {}; }

  // Writes and commits; answers the new manifests in the order of `partitions`. After an error the caller
  // reloads nothing: no manifest changed, the files may hold garbage past their valid length.
  virtual void merge(std::vector<MergePartition> partitions, runtime::Executor& reply_to,
                     Function<void(Result<std::vector<PartitionManifest>>)> done) = 0;

  // The same, blocking (start-up).
  virtual Result<std::vector<PartitionManifest>> merge_now(const std::vector<MergePartition>& partitions) = 0;

  // Finds and brings into the page cache whole batches from the one that contains `offset` on, within `limit`; stays within one
  // segment. `manifest` is the caller's current one (copied as needed).
  virtual void read(const PartitionManifest& manifest, int64_t offset, ReadLimit limit, runtime::Executor& reply_to,
                    Function<void(Result<SegmentRead>)> done) = 0;

  // First record with timestamp >= `timestamp` in the segments of `manifest`, which need not be all (batches of compressed topics
  // are decompressed); kLargestTimestamp asks for the first one with the largest.
  static constexpr int64_t kLargestTimestamp = -3;
  virtual void find_timestamp(PartitionManifest manifest, int64_t timestamp, runtime::Executor& reply_to,
                              Function<void(Result<TimestampPosition>)> done) = 0;

  // Forgets the partition durably; its folder goes after `delay_ms` (file.delete.delay.ms).
  virtual void drop(const PartitionId& partition, int64_t delay_ms, runtime::Executor& reply_to,
                    Function<void(Result<void>)> done) = 0;

  // Compaction. A rewrite reserves a generation (durably, so that no two rewrites ever use one file name),
  // reads segments, writes new ones, then has them take the old ones' place in one transaction. These
  // block and may be called on any thread of the pool.
  virtual Result<uint32_t> begin_rewrite(const PartitionId& partition);
  virtual Result<std::unique_ptr<runtime::File>> open_segment(const PartitionId& partition, const SegmentInfo& segment);
  // Those whose markers the segment holds, by marker.
  virtual Result<std::vector<AbortedTransaction>> aborted_transactions(const PartitionId& partition, const SegmentInfo& segment);
  virtual Result<std::unique_ptr<RewrittenSegment>> create_segment(const PartitionId& partition, int64_t base_offset,
                                                                   uint32_t generation);
  // Groups whose sources are gone meanwhile (log start, dropped partition) are left out and their outputs
  // removed. Answers the new manifest, kNotFound if the partition is gone. In order with merges. Called by
  // the owning shard only.
  virtual void replace(SegmentReplacement replacement, runtime::Executor& reply_to,
                       Function<void(Result<PartitionManifest>)> done);
  // Removes outputs that will not be used (best effort).
  virtual void discard(const SegmentReplacement& replacement, runtime::Executor& reply_to);

  // Several log directories. From now on new segments of the partition go to `directory`; the old ones are moved by whoever
  // copies them (copy_segment after begin_rewrite, then replace). Durable when `done` tells the new place, which has arrived
  // there if nothing was elsewhere. In order with merges. Called by the owning shard only.
  virtual void set_directory(const PartitionId& partition, uint32_t directory, runtime::Executor& reply_to,
                             Function<void(Result<PartitionPlace>)> done);
  // Blocking, on any thread of the pool.
  virtual Result<std::unique_ptr<SegmentCopy>> copy_segment(const PartitionId& partition, const SegmentInfo& segment,
                                                            uint32_t directory, uint32_t generation);

  virtual size_t index_bytes() const { return 0; }  // memory of the indexes of segments; thread-safe

  // Background work that waits for time to pass, such as removing the folders of dropped partitions. Call it
  // every few seconds from one place.
  virtual void maintain(runtime::Executor& reply_to, Function<void()> done) { reply_to.post(std::move(done)); }

  // WAL sessions (see docs/formats/wal.md): rows (shard, incarnation, first chunk, last chunk once sealed).
  struct WalSession {
    uint32_t shard = 0;
    uint64_t incarnation = 0;
    uint64_t first_chunk = 0;
    uint64_t last_chunk = 0;
    bool sealed = false;
    bool operator==(const WalSession&) const = default;
  };
  struct WalFile {
    uint32_t shard = 0;
    uint64_t generation = 0;
    bool operator==(const WalFile&) const = default;
  };
  // Blocking, as all about the write-ahead log is.
  virtual Result<std::vector<WalSession>> wal_sessions() = 0;
  virtual Result<std::vector<WalFile>> wal_files() = 0;                           // those noted
  virtual Result<void> put_wal_sessions(const std::vector<WalSession>& all) = 0;  // replaces all rows durably
  // Replaces the rows of sessions and of files in one transaction.
  virtual Result<void> put_wal_sessions_and_files(const std::vector<WalSession>& sessions, const std::vector<WalFile>& files) = 0;

 protected:
  LogDirectories directories_;
};

}  // namespace weir::storage
