#include "apps/temporary_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace weir::apps {

namespace {

constexpr const char* kMarker = "/.weir-temporary";
constexpr std::string_view kPrefix = "weir-";
constexpr size_t kNameLength = 11;  // with mkdtemp's six characters

bool is_name_of_ours(const std::string& name) { return name.size() == kNameLength && name.starts_with(kPrefix); }

// The marker gets its name when it is locked: there is no moment at which a sweep could take it.
runtime::UniqueFd lock_marker(const std::string& folder) {
  const std::string unnamed = folder + kMarker + ".new";
  runtime::UniqueFd lock(::open(unnamed.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock || ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0 || ::rename(unnamed.c_str(), (folder + kMarker).c_str()) != 0)
    return {};
  return lock;
}

// The lock of a folder that is certainly ours and whose owner is gone; none of any other.
runtime::UniqueFd lock_of_the_dead(const std::string& folder) {
  struct stat info{};
  if (::lstat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != ::geteuid()) return {};
  runtime::UniqueFd lock(::open((folder + kMarker).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!lock || ::fstat(lock.get(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_uid != ::geteuid()) return {};
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return {};
  return lock;
}

// All that is in it; false if it was told to end before.
bool empty_folder(const std::filesystem::path& folder, std::string_view but, const std::function<bool()>& ends) {
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (ends()) return false;
    std::error_code ignored;
    const bool is_folder = entry->symlink_status(ignored).type() == std::filesystem::file_type::directory;
    if (is_folder && !empty_folder(entry->path(), {}, ends)) return false;
    if (but.empty() || entry->path().filename() != but) std::filesystem::remove(entry->path(), ignored);
  }
  return !error;
}

}  // namespace

size_t TemporaryFolder::sweep(const std::function<bool()>& ends) {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
  if (error) return 0;
  size_t removed = 0;
  std::filesystem::directory_iterator entry(parent, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (!is_name_of_ours(entry->path().filename().string())) continue;
    const runtime::UniqueFd lock = lock_of_the_dead(entry->path().string());
    if (!lock) continue;
    // The marker is the last to go: without it nobody could tell whose the rest is.
    if (!empty_folder(entry->path(), std::string_view(kMarker).substr(1), ends)) continue;
    std::error_code ignored;
    if (std::filesystem::remove_all(entry->path(), ignored); !ignored) ++removed;
  }
  return removed;
}

void TemporaryFolder::keep(const std::string& inner) {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::canonical(inner, error).parent_path();
  if (error || !is_name_of_ours(folder.filename().string())) return;
  const runtime::UniqueFd lock = lock_of_the_dead(folder.string());
  if (lock) std::filesystem::remove(folder.string() + kMarker, error);
}

Result<TemporaryFolder> TemporaryFolder::create() {
  constexpr const char* kRemedy = "set TMPDIR to a folder that exists and may be written";
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
  if (error) {
    const char* const named = ::getenv("TMPDIR");
    return fail(ErrorCode::kIo, fmt::format("there is no folder for temporary files (TMPDIR={}: {}); {}", named ? named : "",
                                            error.message(), kRemedy));
  }
  std::string pattern = (parent / "weir-XXXXXX").string();
  if (!::mkdtemp(pattern.data())) {
    const int number = errno;
    return fail(ErrorCode::kIo,
                fmt::format("cannot create a temporary folder in {}: {}; {}", parent.string(), std::strerror(number), kRemedy),
                number);
  }
  TemporaryFolder folder;
  folder.path_ = pattern;
  folder.lock_ = lock_marker(folder.path_);
  if (!folder.lock_) {
    const int number = errno;
    return fail(ErrorCode::kIo, fmt::format("cannot lock a file in {}: {}; {}", pattern, std::strerror(number), kRemedy), number);
  }
  return folder;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace weir::apps
