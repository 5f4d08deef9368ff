// Brings damaged partitions back, for `weir log salvage`. Intact batches become their log again. They come from segments, from
// the write-ahead log, and from the batches that were kept beside offline markers. Damage is named by offsets and files. Files
// that are not used any more are set aside, whole.
//
// Works on the files of a data folder that no broker has open. look() only reads. apply() writes new segment files, copies
// damaged ones aside, replaces the rows of the partitions in one transaction, and only then removes anything. If it ends early,
// it can be run again.
//
// If the end of a log is lost, a batch without records holds the place of its offsets. Such a batch also stands in a segment
// without any batch left, if aborted transactions ended there. If nobody knows how far the log went, the batch holds the place of
// kOffsetsOfUnknownEnd offsets, which is more than can be lost
// (docs/decisions/0036-a-log-of-unknown-end-goes-on-far-behind-it.md).
//
// If the write-ahead log itself is damaged, all of it is checkpointed and set aside. Then, and if an end is not known, the next
// start counts as one after an unclean end, so leader epochs move on.
//
// A further log directory may be given up. Its segments count as gone, and the broker does not ask for it any more.
//
// Blocking, one thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"
#include "runtime/clock.h"
#include "runtime/file.h"
#include "storage/log/log_recovery.h"
#include "storage/log/offline_markers.h"
#include "storage/segment/manifest_database.h"
#include "storage/segment/segment_salvage.h"
#include "storage/wal/replay.h"

namespace weir::storage {

class RewrittenSegment;

// Begins the names of the folders in which salvages set files aside.
inline constexpr const char* kSalvagedPrefix = "salvaged-";

inline constexpr int64_t kOffsetsOfUnknownEnd = int64_t{1} << 30;

struct SalvagedPartition {
  PartitionId partition;
  std::string topic;                                 // its name; empty if that is not known
  std::vector<std::string> damage;                   // the findings, with the names of files
  std::vector<OffsetRange> lost;                     // compaction may have taken some of them before
  bool end_unknown = false;                          // records above the last one may be lost as well
  int64_t log_start_offset = 0, log_end_offset = 0;  // afterwards
  uint64_t rescued = 0;                              // batches that are written anew
  uint64_t mended = 0;                               // of them, whose offset, length or leader epoch followed from others
};

struct SalvageReport {
  std::vector<SalvagedPartition> partitions;  // the damaged ones
  std::vector<std::string> damage;            // of the write-ahead log, of rows without a partition, of directories
  std::vector<std::string> set_aside;         // files
  bool intact() const { return partitions.empty() && damage.empty(); }
};

class LogSalvage final : public WalReplayVisitor {
 public:
  // `log_dir`: home. `known`, `all`: as for open_log. `without`: the numbers of directories that are given up, and never touched.
  // All arguments outlive the object.
  LogSalvage(runtime::FileSystem& files, const runtime::Clock& clock, ManifestDatabase& manifests, std::string log_dir,
             PartitionLookup known, PartitionList all = {}, std::set<uint32_t> without = {})
      : files_(files),
        clock_(clock),
        manifests_(manifests),
        log_dir_(std::move(log_dir)),
        known_(std::move(known)),
        all_(std::move(all)),
        without_(std::move(without)),
        markers_(files, log_dir_) {}

  // Fails, as a start would, if there is data of partitions that the metadata does not know.
  Result<SalvageReport> look();
  // After look(). `aside`: a folder that does not exist yet, in home.
  Result<void> apply(const std::string& aside);

  void on_batch(ChunkNumber chunk, const BatchInfo& info, Slice bytes) override;
  void on_corruption(const WalCorruption& corruption) override;

 private:
  // A segment file, or what a row says of one.
  struct Part {
    SegmentInfo info = {};
    std::string path = {};
    bool there = true;
    bool whole = true;         // and used as it is
    int64_t from = 0;          // another file has the batches below
    bool length_known = true;  // if not, the file is read to its end, and its last offset is not known
    bool contiguous = false;   // compaction never took anything of it
  };
  struct Piece {
    ManifestDatabase::Loaded rows = {};
    bool has_row = false;
    bool sound = true;              // the rows can be trusted
    int64_t least_end = 0;          // by a row that is true, though incomplete
    std::vector<Part> parts;        // ascending
    std::map<int64_t, Slice> tail;  // intact batches from elsewhere, by base offset
    std::vector<OffsetRange> lost_tail;
    std::string lost_in_log;    // the reason of its marker, if the write-ahead log lost its batches and has none behind them
    bool offline = false;       // marked so
    bool kept_damaged = false;  // the batches beside the marker are
    bool compacted = false;     // by its topic's configuration
    bool rewrite = false;       // apply() gives it new rows
    SalvagedPartition told;
  };
  struct Output;

  Result<void> load_rows();
  Result<void> load_markers();
  Result<void> find_files();
  Result<void> load_kept(const PartitionId& id, Piece& piece);
  Result<void> replay();
  void end_suspicion(uint32_t shard, uint32_t shards, std::span<const WalGuest> guests);
  Piece* piece_of(const PartitionId& partition);  // null if deleted, or not known
  Result<void> check_parts(Piece& piece);
  Result<std::string> fault_of(const Piece& piece, const Part& part, SegmentInfo& found);
  static std::string aborted_path(const Part& part);
  void order_found_files(Piece& piece);
  void close_tail(Piece& piece);
  SalvageReport report() const;

  Result<void> rebuild(Piece& piece);
  Result<void> add_part(Piece& piece, const Part& part, Output& output);
  Result<void> add_whole_part(const Piece& piece, const Part& part, Output& output);
  Result<void> put_aborted(const Part& part, std::span<const AbortedTransaction> entries, SegmentInfo& info);
  Result<SegmentSalvage> read_damaged(const Piece& piece, const Part& part, Buffer& memory);
  Result<ManifestDatabase::Remaining> remaining_directories();
  Result<void> copy_aside(const std::vector<std::string>& paths, const std::string& folder_name, const std::string& aside);
  Result<void> unseal_last_session();
  Result<void> remove_used_up();
  Result<void> put_log_aside(const std::string& aside);
  std::string directory_path(uint32_t number) const;
  std::string folder_of(const PartitionId& partition, uint32_t directory) const;

  runtime::FileSystem& files_;
  const runtime::Clock& clock_;
  ManifestDatabase& manifests_;
  const std::string log_dir_;
  const PartitionLookup known_;
  const PartitionList all_;
  const std::set<uint32_t> without_;
  OfflineMarkers markers_;

  std::map<uint32_t, std::string> directories_;  // by number, but for those that are given up
  std::map<uint32_t, ManifestDatabase::Directory> given_up_;
  std::map<PartitionId, Piece> pieces_;
  std::vector<ManifestDatabase::Loaded> nobodys_;  // rows that go
  std::set<std::string> unknown_;                  // partitions
  int64_t next_row_ = 1;
  std::map<uint32_t, WalReplayResult> replayed_;  // by shard
  std::vector<std::string> log_damage_;
  // State of the log that is replayed, as in LogRecovery.
  bool suspicion_ = false;
  std::set<PartitionId> trusted_;
};

}  // namespace weir::storage
