// A new folder below TMPDIR (or /tmp), removed with all that is in it when the object goes. Its marker file is locked
// meanwhile: a folder with a marker that nobody holds is what a killed process left, and sweep() removes it.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "base/result.h"
#include "runtime/unique_fd.h"

namespace weir::apps {

class TemporaryFolder {
 public:
  static Result<TemporaryFolder> create();
  // Removes what processes of this user left behind when they were killed, until `ends` says so: the rest is for the next one.
  // Returns how many folders are gone.
  static size_t sweep(const std::function<bool()>& ends);
  // A user names `inner` from now on: the sweep of folders that killed processes left leaves it alone.
  static void keep(const std::string& inner);

  TemporaryFolder() = default;  // none
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, {})), lock_(std::move(other.lock_)) {}
  TemporaryFolder& operator=(TemporaryFolder&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(lock_, other.lock_);
    return *this;
  }
  ~TemporaryFolder();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  runtime::UniqueFd lock_;
};

}  // namespace weir::apps
