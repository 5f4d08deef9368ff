#include "apps/import_target.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "runtime/unique_fd.h"

namespace weir::apps {

namespace fs = std::filesystem;

namespace {

constexpr const char* kLockFile = ".lock";

}  // namespace

Result<void> ImportTarget::check(const std::string& source) {
  auto there = files_.exists(name_);
  if (!there) return std::unexpected(there.error());
  if (*there) {
    auto entries = files_.list(name_);
    if (!entries) return std::unexpected(entries.error());
    if (!entries->empty()) {
      return fail(ErrorCode::kExists, fmt::format("{} is not empty: an import makes a new data folder; name one that does "
                                                  "not exist yet",
                                                  name_));
    }
  }
  std::error_code unknown;
  const std::string real = fs::weakly_canonical(name_, unknown).string();
  if (unknown) return fail(ErrorCode::kIo, fmt::format("{}: {}", name_, unknown.message()));
  name_ = real;
  path_ = name_ + ".importing";
  if (fs::is_symlink(name_, unknown)) return fail(ErrorCode::kInvalid, name_ + " is a link that leads nowhere");
  const std::string kafka = fs::canonical(source, unknown).string();
  if (!unknown && (name_ + "/").starts_with(kafka + "/")) {
    return fail(ErrorCode::kInvalid, fmt::format("{} lies in the folder of Kafka, which is not changed", name_));
  }
  struct stat folder{}, parent{};
  if (*there && ::stat(name_.c_str(), &folder) == 0 && ::stat((name_ + "/..").c_str(), &parent) == 0 &&
      folder.st_dev != parent.st_dev) {
    return fail(ErrorCode::kInvalid,
                fmt::format("{} is a mount point: the new folder could not take its place. Name one in it", name_));
  }
  return {};
}

Result<void> ImportTarget::lock(const std::string& source) {
  if (auto ok = files_.create_directories(path_); !ok) return ok;
  if (auto ok = take_owner(); !ok) return ok;
  auto lock = files_.lock(path_ + "/" + kLockFile);
  if (!lock && lock.error().code == ErrorCode::kExists) {
    return fail(ErrorCode::kExists, fmt::format("another import is making {}; wait for its end", name_));
  }
  if (!lock) return std::unexpected(lock.error());
  lock_ = std::move(*lock);
  return check(source);  // one that was at work just now may have made it
}

// The folder whose place is taken may be that of a service, and what is made in the new one has its owner.
Result<void> ImportTarget::take_owner() {
  struct stat folder{};
  if (::stat(name_.c_str(), &folder) != 0) return {};
  const runtime::UniqueFd made(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!made || ::fchmod(made.get(), folder.st_mode & 07777) != 0) return fail_errno("cannot open " + path_, errno);
  if (::geteuid() == 0 && ::fchown(made.get(), folder.st_uid, folder.st_gid) != 0) {
    return fail_errno("cannot give " + path_ + " to the owner of " + name_, errno);
  }
  return {};
}

Result<void> ImportTarget::clear() {
  auto left = files_.list(path_);
  if (!left) return std::unexpected(left.error());
  for (const runtime::DirectoryEntry& entry : *left) {
    if (entry.name == kLockFile) continue;
    if (auto ok = files_.remove_all(path_ + "/" + entry.name); !ok) return ok;
  }
  return {};
}

Result<void> ImportTarget::finish() {
  if (auto ok = files_.sync_file_system(path_); !ok) return ok;
  auto there = files_.exists(name_);
  if (!there) return std::unexpected(there.error());
  if (*there) {
    if (auto ok = files_.remove(name_); !ok) return ok;  // empty, or this fails
  }
  if (auto ok = files_.rename(path_, name_); !ok) return ok;
  return files_.sync_directory(fs::path(name_).parent_path().string());
}

void ImportTarget::give_up() {
  // Files that stay do no harm: the next try removes them. Once the lock is removed, the folder may be that of another import.
  if (!lock_ || !clear()) return;
  if (files_.remove(path_ + "/" + kLockFile)) (void)files_.remove(path_);
}

}  // namespace weir::apps
