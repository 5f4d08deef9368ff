// A new folder below TMPDIR (or /tmp), removed with all that is in it when the object goes.
#pragma once

#include <string>
#include <utility>

#include "base/result.h"

namespace weir::apps {

class TemporaryFolder {
 public:
  static Result<TemporaryFolder> create();
  TemporaryFolder() = default;  // none
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFolder& operator=(TemporaryFolder&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~TemporaryFolder();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace weir::apps
