// SQLite's files through runtime::FileSystem, so that the simulation, with its power cuts and failed flushes, covers the
// databases.
//
// One instance serves one Database. SQLite knows it under a name of its own as long as it lives. The process has locked the
// folder, so the instance takes no file locks. Not thread-safe beyond its Database.
//
// Durability: the first sync of a file that may have been created also syncs its directory. A truncated write-ahead log is
// synced at once (it must not come back after a power cut). Space is reserved ahead of small writes, so that a full disk does
// not stop the transactions that deletion needs.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "runtime/clock.h"
#include "runtime/file.h"

struct sqlite3_vfs;

namespace weir::storage {

class FileSystemVfs {
 public:
  // `files` outlives the instance. `clock` is for SQL's date functions only; without a clock the time is constant. `keep_log`:
  // the write-ahead log stays when the database is closed, so that its reserved blocks are there at the next start, however
  // full the disk is then.
  FileSystemVfs(runtime::FileSystem& files, const runtime::Clock* clock, bool keep_log);
  ~FileSystemVfs();
  FileSystemVfs(const FileSystemVfs&) = delete;
  FileSystemVfs& operator=(const FileSystemVfs&) = delete;

  const char* name() const { return name_.c_str(); }

  // The last failure of a file operation: SQLite passes on only a number.
  const Error& last_error() const { return last_error_; }
  void clear_error() { last_error_ = {}; }

  // Number of syncs (files and directories), for tests and measurements.
  uint64_t syncs() const { return syncs_; }

  // True if something was written to the write-ahead log and synced since it was last emptied.
  bool log_in_use() const { return log_in_use_; }

 private:
  friend struct VfsCalls;
  runtime::FileSystem& files_;
  const runtime::Clock* clock_;
  const bool keep_log_;
  std::string name_;
  std::unique_ptr<sqlite3_vfs> vfs_;
  Error last_error_;
  uint64_t syncs_ = 0;
  bool log_in_use_ = false;
  uint64_t random_state_ = 0x9e3779b97f4a7c15ull;
};

}  // namespace weir::storage
