// A file system that looks like the one below and keeps every change to itself: writes go into a folder of its own. A tool tries
// on it how a broker would start on a data folder, and the data folder stays as it is.
//
// A file is copied when it is opened for writing. Blocking; from any thread.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "apps/temporary_folder.h"
#include "base/result.h"
#include "runtime/file.h"

namespace weir::apps {

class OverlayFiles final : public runtime::FileSystem {
 public:
  // `below` outlives it.
  static Result<std::unique_ptr<OverlayFiles>> create(runtime::FileSystem& below);

  Result<std::unique_ptr<runtime::File>> open(const std::string& path, runtime::OpenFlags flags) override;
  Result<void> create_directories(const std::string& path) override;
  Result<void> create_directory(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> remove_all(const std::string& path) override;
  Result<bool> exists(const std::string& path) override;
  Result<std::vector<runtime::DirectoryEntry>> list(const std::string& path) override;
  Result<void> sync_directory(const std::string&) override { return {}; }
  Result<void> sync_file_system(const std::string&) override { return {}; }
  Result<uint64_t> free_bytes(const std::string& path) override { return below_.free_bytes(path); }
  Result<uint64_t> total_bytes(const std::string& path) override { return below_.total_bytes(path); }
  // Where there is no lock file nobody can hold it, and none is made.
  Result<std::unique_ptr<runtime::File>> lock(const std::string& path) override;
  Result<std::unique_ptr<runtime::DurableWriter>> durable_writer(const std::string& path, runtime::Loop& loop,
                                                                 bool flush_to_device) override;

 private:
  // What became of a path: gone, a directory, or a file that is elsewhere.
  struct Change {
    enum class Kind { kGone, kDirectory, kFile } kind = Kind::kGone;
    std::string place;  // of a file
  };
  OverlayFiles(runtime::FileSystem& below, TemporaryFolder folder) : below_(below), folder_(std::move(folder)) {}
  std::string new_place() { return folder_.path() + "/" + std::to_string(++last_place_); }
  // With mutex_ held.
  Result<std::string> place_of(const std::string& path);  // to read from; kNotFound
  Result<std::string> own(const std::string& path);       // copied if it is not ours yet
  Result<bool> exists_now(const std::string& path);
  bool hidden(const std::string& path) const;
  std::vector<std::string> changed_below(const std::string& path) const;

  runtime::FileSystem& below_;
  const TemporaryFolder folder_;
  std::mutex mutex_;
  std::map<std::string, Change> changes_;
  uint64_t last_place_ = 0;
};

}  // namespace weir::apps
