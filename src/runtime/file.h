// Files behind an interface, so that power cuts, torn writes and failed flushes can be injected at every write.
//
// Durability contract (the simulated disk takes every liberty it leaves):
//  - written bytes are durable after File::sync or through a DurableWriter; before that any 512-byte sector of them may
//    or may not survive a power cut, in any order over all files;
//  - a created, renamed or removed name is durable after sync_dir of its directory; a file's length after sync;
//  - a failed sync says nothing about durability, and a later successful one does not repair that.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/function.h"
#include "base/result.h"
#include "runtime/loop.h"

namespace weir::runtime {

struct OpenFlags {
  bool write = false;      // read is always possible
  bool create = false;     // if it does not exist
  bool exclusive = false;  // with create: fail with kExists
  bool truncate = false;
  bool direct = false;  // O_DIRECT: memory, offsets and lengths aligned to 4096. Falls back where unsupported.
};

// Blocking; used on the pool or at start. Positioned reads and writes of different ranges may run concurrently.
class File {
 public:
  virtual ~File() = default;
  // Reads up to into.size() bytes; fewer only at the end of the file.
  virtual Result<size_t> read_at(uint64_t offset, MutableBytes into) = 0;
  // Writes everything or fails; on failure any part may have been written.
  virtual Result<void> write_at(uint64_t offset, std::span<const iovec> pieces) = 0;
  virtual Result<void> sync() = 0;  // fdatasync: contents and length
  virtual Result<void> truncate(uint64_t length) = 0;
  // Makes sure the blocks of [0, length) exist without changing what is read (fallocate); ENOSPC surfaces here.
  virtual Result<void> allocate(uint64_t length) = 0;
  virtual Result<uint64_t> size() = 0;
  virtual Result<uint64_t> allocated() = 0;  // bytes of the blocks that it occupies: fewer than its size if it has holes
  // Non-blocking knowledge: true if the range is known to be in the page cache.
  virtual bool resident(uint64_t offset, size_t length) = 0;
  // Brings the range into the page cache (blocking; pool only).
  virtual Result<void> make_resident(uint64_t offset, size_t length) = 0;
  virtual int descriptor() const { return -1; }  // for sendfile; -1 in simulation

  Result<void> write_at(uint64_t offset, Bytes bytes) {
    const iovec piece{const_cast<uint8_t*>(bytes.data()), bytes.size()};
    return write_at(offset, std::span<const iovec>(&piece, 1));
  }
};

// Asynchronous durable writes to one preallocated file: complete when the bytes are on the device (O_DIRECT and
// RWF_DSYNC through io_uring, or a flush thread where io_uring is refused). One write in flight at a time. Offsets,
// memory and lengths are aligned to 4096. Loop thread only; `done` is called on the loop, never inline.
class DurableWriter {
 public:
  virtual ~DurableWriter() = default;
  virtual void write(uint64_t offset, std::span<const iovec> pieces, Function<void(Result<void>)> done) = 0;
};

struct DirectoryEntry {
  std::string name;
  bool is_directory = false;
  uint64_t size = 0;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenFlags flags) = 0;
  virtual Result<void> create_directories(const std::string& path) = 0;  // and their parents; not synced
  // In one that exists: kNotFound else. Fine if it is there. Not synced. For what lies in a folder that must not come into
  // being anew when it was moved away.
  virtual Result<void> create_directory(const std::string& path) = 0;
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<void> remove(const std::string& path) = 0;      // a file or an empty directory
  virtual Result<void> remove_all(const std::string& path) = 0;  // fine if it does not exist
  virtual Result<bool> exists(const std::string& path) = 0;
  virtual Result<std::vector<DirectoryEntry>> list(const std::string& path) = 0;  // sorted by name
  virtual Result<void> sync_directory(const std::string& path) = 0;
  // Makes everything written so far below `path`'s file system durable (syncfs): one call for many files.
  virtual Result<void> sync_file_system(const std::string& path) = 0;
  virtual Result<uint64_t> free_bytes(const std::string& path) = 0;
  virtual Result<uint64_t> total_bytes(const std::string& path) = 0;  // of the file system `path` is on
  // Exclusive advisory lock on a file (created), held until the returned object goes or the process dies.
  virtual Result<std::unique_ptr<File>> lock(const std::string& path) = 0;
  // A writer for the file at `path` (exists, preallocated). `flush_to_device` false gives flush=os: writes complete
  // when the page cache has them.
  virtual Result<std::unique_ptr<DurableWriter>> durable_writer(const std::string& path, Loop& loop, bool flush_to_device) = 0;
};

}  // namespace weir::runtime
