#include "apps/temporary_folder.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace weir::apps {

Result<TemporaryFolder> TemporaryFolder::create() {
  constexpr const char* kRemedy = "set TMPDIR to a folder that exists and may be written";
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
  if (error) {
    const char* const named = ::getenv("TMPDIR");
    return fail(ErrorCode::kIo, fmt::format("there is no folder for temporary files (TMPDIR={}: {}); {}",
                                            named ? named : "", error.message(), kRemedy));
  }
  std::string pattern = (parent / "weir-XXXXXX").string();
  if (!::mkdtemp(pattern.data())) {
    const int number = errno;
    return fail(ErrorCode::kIo, fmt::format("cannot create a temporary folder in {}: {}; {}", parent.string(),
                                            std::strerror(number), kRemedy),
                number);
  }
  TemporaryFolder folder;
  folder.path_ = pattern;
  return folder;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace weir::apps
