// The production FileSystem.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/file.h"
#include "runtime/flush_engine.h"
#include "runtime/unique_fd.h"

namespace weir::runtime {

// Thread-safe, apart from durable_writer: on the writer's loop, or before it runs. stop_writers() once the
// loops have ended and before they are destroyed.
class PosixFileSystem final : public FileSystem {
 public:
  explicit PosixFileSystem(FlushEngineKind engine);
  ~PosixFileSystem() override;
  // Makes what writes for the loop, which may need a thread. Without it the loop's first durable_writer does.
  Result<void> prepare_writers(Loop& loop);
  void stop_writers();

  Result<std::unique_ptr<File>> open(const std::string& path, OpenFlags flags) override;
  Result<void> create_directories(const std::string& path) override;
  Result<void> create_directory(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> remove_all(const std::string& path) override;
  Result<bool> exists(const std::string& path) override;
  Result<std::vector<DirectoryEntry>> list(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<void> sync_file_system(const std::string& path) override;
  Result<uint64_t> free_bytes(const std::string& path) override;
  Result<uint64_t> total_bytes(const std::string& path) override;
  Result<std::unique_ptr<File>> lock(const std::string& path) override;
  Result<std::unique_ptr<DurableWriter>> durable_writer(const std::string& path, Loop& loop, bool flush_to_device) override;

 private:
  Result<FlushEngine*> engine_of(Loop& loop);

  const FlushEngineKind engine_kind_;
  std::mutex mutex_;  // protects everything below
  std::map<Loop*, std::unique_ptr<FlushEngine>> engines_;
  // Kept open: the kernel reports a failed writeback to each descriptor that was open when it failed.
  std::map<dev_t, UniqueFd> file_systems_;
};

}  // namespace weir::runtime
