// Writes one checkpoint cycle's data into segment files and makes it durable with as few syncs as possible.
//
// Runs of less than kDirectBytes are appended through the page cache. Larger ones go unbuffered out of an
// aligned staging buffer; only what precedes the first and follows the last 4096-byte boundary is written
// through the page cache, so that a file always ends with its last batch and its unaligned last block is
// never read back. Bytes that were valid before are never written again.
//
// One cycle: for every run add_aborted if it has any, begin_run, and write_some until it is written; then make_durable, or undo
// after a failure of any. Blocking, one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"
#include "runtime/file.h"
#include "storage/segment/manifest_store.h"

namespace weir::storage {

class SegmentWriter {
 public:
  static constexpr size_t kDirectBytes = 64 * 1024;
  static constexpr size_t kStagingBytes = 1 << 20;
  static constexpr size_t kSyncedSingly = 16;  // files; beyond, one sync of the file system is cheaper

  explicit SegmentWriter(runtime::FileSystem& files);
  ~SegmentWriter();

  // Forgets the last cycle.
  void start();
  // A folder directly below a log directory that holds files of this cycle; created if missing.
  void note_folder(const std::string& log_dir) { new_folders_in_.insert(log_dir); }
  // Opens the file that `batches` are appended to at `position`, its valid length. What lies beyond is cut off; kCorrupt
  // if it is shorter.
  Result<void> begin_run(const std::string& log_dir, const std::string& folder, const std::string& name, uint64_t position,
                         bool create, std::span<const CheckpointPartition::Batch> batches);
  // Writes `entries` behind the first `before` of an index of aborted transactions; kCorrupt as begin_run.
  Result<void> add_aborted(const std::string& log_dir, const std::string& folder, const std::string& name, uint32_t before,
                           std::span<const AbortedTransaction> entries);
  bool in_run() const { return run_ != nullptr; }
  // Writes about `bytes_max` of the run, or all of a small one, and says how much it was. The run ends with its last byte
  // or an error.
  Result<uint64_t> write_some(uint64_t bytes_max);
  Result<void> make_durable();
  // Takes back what the cycle wrote, to free the space. Best effort: what stays lies beyond the valid
  // lengths.
  void undo();

 private:
  struct Touched {
    std::string path;
    uint64_t valid_length;
    bool created;
    std::unique_ptr<runtime::File> file;  // while few are touched
  };
  struct Run;
  Result<void> write_direct(Run& run, uint64_t bytes_max);
  void end_run();
  void touch(const std::string& log_dir, const std::string& folder_path, std::string path, uint64_t valid_length, bool created);
  void keep_open(std::unique_ptr<runtime::File> file);

  runtime::FileSystem& files_;
  Buffer staging_;
  std::unique_ptr<Run> run_;  // being written
  std::vector<Touched> touched_;
  std::vector<std::string> new_names_in_;  // paths of folders whose entries changed
  std::set<std::string> log_dirs_;         // with files of this cycle
  std::set<std::string> new_folders_in_;   // log directories
};

}  // namespace weir::storage
