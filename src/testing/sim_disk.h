// A disk that takes every liberty that the contract of runtime/file.h leaves. A power cut, a dying process, a failed flush, a
// full or a broken device do to files whatever the seed chooses.
//
// Everything happens inline on the caller's thread, apart from the completions of DurableWriters: their loop runs them after a
// seeded delay. Outlives the loops given to durable_writer(), and all Files. Not thread-safe.
//
// Lives: the disk begins with the first life of a process. kill_process() ends a life and keeps the page cache. cut_power()
// ends a life and keeps everything durable and, by the seed, parts of the rest. Files, writers and locks of an ended life
// always fail. The next life may start at once: it opens the files again.
//
// Mutating operations are numbered (write_points). cut_at_write(n) ends the current life at the n-th operation. That operation
// and all later ones fail without an effect that others see, and dead() is true, which stops SimRuntime after the running
// event. SimRuntime::end_server then calls cut_power(), which settles what the power cut leaves.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/file.h"
#include "testing/seeded_random.h"

namespace weir::testing {

struct DiskNode;
class DiskNames;

enum class DiskOperation : uint8_t {
  kAny,  // in a fault: all but kRead
  kRead,
  kWrite,
  kSync,
  kTruncate,
  kAllocate,
  kCreate,  // files and directories
  kRename,
  kRemove,
  kSyncDirectory,
  kSyncFileSystem,
  kDurableWriteStart,
  kDurableWriteEnd,  // faults of a DurableWriter's write go here
};

// Makes operations on paths that match `pattern` fail (as fnmatch: '*' also matches '/'): skips the first `skip` of them, then
// fails
// `times`. A failed write may have written any part. A failed sync drops the bytes that it did not write.
struct DiskFault {
  std::string pattern = "*";
  DiskOperation operation = DiskOperation::kAny;
  uint64_t skip = 0;
  uint64_t times = 1;
  int os_errno = 5;  // EIO
};

enum class Death : uint8_t { kPowerCut, kKill };

class SimDisk final : public runtime::FileSystem {
 public:
  struct Options {
    uint64_t size_limit = UINT64_MAX;  // ENOSPC beyond; files count with their full length
    int64_t durable_write_min_ns = 20'000;
    int64_t durable_write_max_ns = 400'000;
    int64_t durable_write_slow_ns = 15'000'000;  // one in 64 takes up to this long
    uint64_t eviction_one_in = 32;               // calls of resident() for a cached range that evict it instead
  };
  explicit SimDisk(uint64_t seed) : SimDisk(seed, Options{}) {}
  SimDisk(uint64_t seed, Options options);
  ~SimDisk() override;

  Result<std::unique_ptr<runtime::File>> open(const std::string& path, runtime::OpenFlags flags) override;
  Result<void> create_directories(const std::string& path) override;
  Result<void> create_directory(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> remove_all(const std::string& path) override;
  Result<bool> exists(const std::string& path) override;
  Result<std::vector<runtime::DirectoryEntry>> list(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<void> sync_file_system(const std::string& path) override;
  Result<uint64_t> free_bytes(const std::string& path) override;
  Result<uint64_t> total_bytes(const std::string& path) override;
  Result<std::unique_ptr<runtime::File>> lock(const std::string& path) override;
  Result<std::unique_ptr<runtime::DurableWriter>> durable_writer(const std::string& path, runtime::Loop& loop,
                                                                 bool flush_to_device) override;

  // Ends of a life.
  void cut_power();
  void kill_process();
  void end_life(Death death) { death == Death::kPowerCut ? cut_power() : kill_process(); }
  void cut_at_write(uint64_t n);  // counted from now, first is 1; 0 takes it back
  bool dead() const { return dead_; }
  uint64_t write_points() const { return write_points_; }  // in all lives

  void inject(DiskFault fault) { faults_.push_back(std::move(fault)); }
  void clear_faults() { faults_.clear(); }
  // The nth sync of a file or the file system from now fails, once.
  void fail_next_sync(uint64_t nth = 1);
  void set_size_limit(uint64_t bytes) { options_.size_limit = bytes; }
  uint64_t used_bytes() const { return used_bytes_; }

  // For tests: look at the stored bytes and damage them. Paths must exist.
  bool has(const std::string& path) const;
  bool has_durable(const std::string& path) const;  // a power cut now could not lose the name
  std::vector<uint8_t> contents(const std::string& path) const;
  std::vector<uint8_t> durable_contents(const std::string& path) const;  // by the current name
  std::vector<std::string> all_files() const;                            // full paths, sorted
  void flip_bits(const std::string& path, uint64_t offset, uint8_t mask);
  void overwrite_raw(const std::string& path, uint64_t offset, Bytes bytes);
  void truncate_raw(const std::string& path, uint64_t length);
  void make_hole(const std::string& path);  // of all of it, as a sparse copy does with zeros; until it is written or allocated
  // Drops the file's pages from the page cache: after a failed sync a reader then sees the bytes of the device.
  void evict(const std::string& path);

  uint64_t trace_hash() const { return trace_.value(); }
  // Gets a line for each mutating operation, to find where two runs part.
  void set_trace_sink(std::function<void(const std::string&)> sink) { trace_sink_ = std::move(sink); }

 private:
  friend class SimFile;
  friend class SimDurableWriter;

  // Begins a mutating operation: counts it, ends the life if this operation was chosen, injects faults. The `last` operation of a
  // life still leaves its un-synced effect, and then returns died().
  struct Admission {
    bool last = false;
    int os_errno = 0;  // injected
  };
  Result<Admission> admit(DiskOperation operation, const std::string& path, uint64_t detail = 0);
  int injected(DiskOperation operation, const std::string& path);
  std::unexpected<Error> died() const;
  Result<std::shared_ptr<DiskNode>> find_file(const std::string& path) const;
  DiskNode& must_find(const std::string& path) const;
  Result<std::shared_ptr<DiskNode>> create_node(const std::string& path, bool directory);
  // Charges the node's size against the limit. False if it does not fit.
  bool charge(DiskNode& node, uint64_t bytes);
  void release_if_gone(DiskNode& node);
  void begin_life();
  Result<void> unlink(const std::string& path);
  void trace(DiskOperation operation, const std::string& path, uint64_t detail);

  Options options_;
  SeededRandom random_;
  TraceHash trace_;
  std::function<void(const std::string&)> trace_sink_;
  std::unique_ptr<DiskNames> names_;
  std::vector<DiskFault> faults_;
  uint64_t used_bytes_ = 0;
  uint64_t write_points_ = 0;
  uint64_t cut_at_ = 0;        // write point that ends the life; 0: none
  uint64_t failing_sync_ = 0;  // counts down to the sync that fails; 0: none
  uint64_t life_ = 1;
  bool dead_ = false;
};

}  // namespace weir::testing
