// Writes the data of one checkpoint into segment files, and makes it durable with as few syncs as possible.
//
// Runs of less than kDirectBytes are appended through the page cache. Larger runs go unbuffered out of an aligned staging buffer,
// but the bytes before their first and after their last 4096-byte boundary are written through the page cache. So a file always
// ends with its last batch, and its unaligned last block is never read back. Valid bytes are never written again.
//
// The order of calls: start(). For each run add_aborted() if it has any, begin_run(), and write_some() until the run is written.
// Then make_durable(), or undo() after a failure. Blocking, one thread at a time.
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
  // Notes a new folder directly below a log directory. It will hold files of this cycle.
  void note_folder(const std::string& log_dir) { new_folders_in_.insert(log_dir); }
  // Opens the file to which `batches` are appended at `position`, its valid length. Cuts off bytes behind it. kCorrupt if the
  // file is shorter.
  Result<void> begin_run(const std::string& log_dir, const std::string& folder, const std::string& name, uint64_t position,
                         bool create, std::span<const CheckpointPartition::Batch> batches);
  // Writes `entries` behind the first `before` entries of an index of aborted transactions. kCorrupt if the file has fewer.
  Result<void> add_aborted(const std::string& log_dir, const std::string& folder, const std::string& name, uint32_t before,
                           std::span<const AbortedTransaction> entries);
  bool in_run() const { return run_ != nullptr; }
  // Writes about `bytes_max` of the run, or all of a small run. Returns the number of bytes. The run ends with its last byte, or
  // with an error.
  Result<uint64_t> write_some(uint64_t bytes_max);
  Result<void> make_durable();
  // Takes back the writes of the cycle, to free their space, as far as that works. Bytes that stay lie behind the valid lengths.
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
