#include "runtime/posix_file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string_view>

#include "base/check.h"
#include "runtime/epoll_loop.h"
#include "runtime/posix_file.h"

namespace weir::runtime {
namespace {

constexpr mode_t kFileMode = 0640;

Result<UniqueFd> open_named(const std::string& path, int flags) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, kFileMode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return fail_errno("cannot open " + path, errno);
  return UniqueFd(fd);
}

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

// What root makes belongs to whom the folder belongs to: a service that is not root has to open it. Where the kernel refuses
// (a user it does not know here, NFS), it stays root's.
void give_to_owner_of_folder(const UniqueFd& made, const std::string& path) {
  struct stat folder{}, own{};
  if (::stat(folder_of(path).c_str(), &folder) != 0 || ::fstat(made.get(), &own) != 0) return;
  if (own.st_uid == folder.st_uid && own.st_gid == folder.st_gid) return;
  [[maybe_unused]] const int status = ::fchown(made.get(), folder.st_uid, folder.st_gid);
}

// Made first and opened then, for O_DIRECT may make a file and fail all the same.
Result<UniqueFd> open_as_root(const std::string& path, int flags) {
  const Result<UniqueFd> made = open_named(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
  if (made) give_to_owner_of_folder(*made, path);
  else if (made.error().code != ErrorCode::kExists || (flags & O_EXCL))
    return fail_errno("cannot open " + path, made.error().os_errno);
  Result<UniqueFd> fd = open_named(path, flags & ~(O_CREAT | O_EXCL));
  if (!fd && fd.error().code == ErrorCode::kNotFound) return open_named(path, flags);  // a link to what is not there yet
  return fd;
}

Result<UniqueFd> open_fd(const std::string& path, int flags) {
  return (flags & O_CREAT) && ::geteuid() == 0 ? open_as_root(path, flags) : open_named(path, flags);
}

// 0, or an error number.
int make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0777) != 0) return errno;
  if (::geteuid() != 0) return 0;
  if (const auto made = open_named(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)) give_to_owner_of_folder(*made, path);
  return 0;
}

bool is_directory(const std::string& path) {
  struct stat entry{};
  return ::stat(path.c_str(), &entry) == 0 && S_ISDIR(entry.st_mode);
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "directory";
  if (S_ISFIFO(mode)) return "FIFO";
  return S_ISSOCK(mode) ? "socket" : "device";
}

// A file with bytes of its own. A FIFO would wait for its other end, a device or a socket may do anything: they are refused
// before anything is read, and without waiting.
Result<UniqueFd> open_file(const std::string& path, int flags) {
  Result<UniqueFd> fd = open_fd(path, flags | O_NONBLOCK | O_NOCTTY);
  struct stat entry{};
  if (fd ? ::fstat(fd->get(), &entry) != 0 : ::stat(path.c_str(), &entry) != 0) return fd;
  if (!S_ISREG(entry.st_mode)) {
    return fail(ErrorCode::kIo, "cannot open " + path + ": it is a " + kind_of(entry.st_mode) + ", not a regular file",
                fd ? EINVAL : fd.error().os_errno);
  }
  // With the flag some file systems would refuse a read of the ring that has to wait for the disk.
  if (fd && ::fcntl(fd->get(), F_SETFL, flags) != 0) {
    return fail_errno("cannot open " + path, errno);
  }
  return fd;
}

// tmpfs and some network file systems know no direct I/O.
Result<UniqueFd> open_direct(const std::string& path, int flags) {
  Result<UniqueFd> fd = open_file(path, flags | O_DIRECT);
  if (!fd && fd.error().os_errno == EINVAL) fd = open_file(path, flags & ~O_EXCL);
  return fd;
}

Result<bool> same_file(int fd, const std::string& path) {
  struct stat held{}, named{};
  if (::fstat(fd, &held) != 0) return fail_errno("cannot look up " + path, errno);
  if (::stat(path.c_str(), &named) != 0) {
    if (errno == ENOENT) return false;
    return fail_errno("cannot look up " + path, errno);
  }
  return held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

// Holds the lock of its folder, too.
class LockFile final : public PosixFile {
 public:
  LockFile(UniqueFd fd, UniqueFd folder, std::string path)
      : PosixFile(std::move(fd), std::move(path)), folder_(std::move(folder)) {}

 private:
  const UniqueFd folder_;
};

}  // namespace

PosixFileSystem::PosixFileSystem(FlushEngineKind engine) : engine_kind_(engine) {}

PosixFileSystem::~PosixFileSystem() { stop_writers(); }

void PosixFileSystem::stop_writers() {
  const std::lock_guard lock(mutex_);
  for (auto& [loop, engine] : engines_) engine->stop();
}

Result<std::unique_ptr<File>> PosixFileSystem::open(const std::string& path, OpenFlags flags) {
  int mode = flags.write ? O_RDWR : O_RDONLY;
  if (flags.create) mode |= O_CREAT;
  if (flags.create && flags.exclusive) mode |= O_EXCL;
  if (flags.truncate) mode |= O_TRUNC;
  Result<UniqueFd> fd = flags.direct ? open_direct(path, mode) : open_file(path, mode);
  if (!fd) return std::unexpected(fd.error());
  return std::make_unique<PosixFile>(std::move(*fd), path);
}

Result<void> PosixFileSystem::create_directories(const std::string& path) {
  std::string upper;
  for (const auto& part : std::filesystem::path(path)) {
    upper = (std::filesystem::path(upper) / part).string();
    if (is_directory(upper)) continue;
    const int error = make_directory(upper);
    if (error != 0 && !is_directory(upper)) return fail_errno("cannot create directory " + path, error);
  }
  return {};
}

Result<void> PosixFileSystem::create_directory(const std::string& path) {
  const int error = make_directory(path);
  if (error == 0 || (error == EEXIST && is_directory(path))) return {};
  return fail_errno("cannot create directory " + path, error);
}

Result<void> PosixFileSystem::rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return fail_errno("cannot rename " + from + " to " + to, errno);
  return {};
}

Result<void> PosixFileSystem::remove(const std::string& path) {
  if (std::remove(path.c_str()) != 0) return fail_errno("cannot remove " + path, errno);
  return {};
}

Result<void> PosixFileSystem::remove_all(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return fail_errno("cannot remove " + path + " and what it holds", error.value());
  return {};
}

Result<bool> PosixFileSystem::exists(const std::string& path) {
  struct stat entry{};
  if (::stat(path.c_str(), &entry) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  return fail_errno("cannot look up " + path, errno);
}

Result<std::vector<DirectoryEntry>> PosixFileSystem::list(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
  if (!directory) return fail_errno("cannot list " + path, errno);
  std::vector<DirectoryEntry> entries;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr && errno != 0) return fail_errno("cannot list " + path, errno);
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat details{};
    if (::fstatat(::dirfd(directory.get()), entry->d_name, &details, 0) != 0) {
      if (errno == ENOENT || errno == ELOOP) continue;  // removed meanwhile, or a link that leads nowhere
      return fail_errno("cannot look up " + path + "/" + std::string(name), errno);
    }
    const bool is_directory = S_ISDIR(details.st_mode);
    entries.push_back({std::string(name), is_directory, is_directory ? 0 : static_cast<uint64_t>(details.st_size)});
  }
  std::ranges::sort(entries, {}, &DirectoryEntry::name);
  return entries;
}

Result<void> PosixFileSystem::sync_directory(const std::string& path) {
  const Result<UniqueFd> fd = open_fd(path, O_RDONLY | O_DIRECTORY);
  if (!fd) return std::unexpected(fd.error());
  if (::fsync(fd->get()) != 0) return fail_errno("cannot flush directory " + path, errno);
  return {};
}

Result<void> PosixFileSystem::sync_file_system(const std::string& path) {
  struct stat entry{};
  if (::stat(path.c_str(), &entry) != 0) return fail_errno("cannot look up " + path, errno);
  int fd = -1;
  {
    const std::lock_guard lock(mutex_);
    UniqueFd& kept = file_systems_[entry.st_dev];
    if (!kept) {
      Result<UniqueFd> opened = open_fd(path, O_RDONLY);
      if (!opened) return std::unexpected(opened.error());
      kept = std::move(*opened);
    }
    fd = kept.get();
  }
  if (::syncfs(fd) != 0) return fail_errno("cannot flush the file system of " + path, errno);
  return {};
}

Result<uint64_t> PosixFileSystem::free_bytes(const std::string& path) {
  struct statvfs space{};
  if (::statvfs(path.c_str(), &space) != 0) return fail_errno("cannot ask for the free space of " + path, errno);
  return uint64_t{space.f_bavail} * space.f_frsize;
}

Result<uint64_t> PosixFileSystem::total_bytes(const std::string& path) {
  struct statvfs space{};
  if (::statvfs(path.c_str(), &space) != 0) return fail_errno("cannot ask for the size of the file system of " + path, errno);
  return uint64_t{space.f_blocks} * space.f_frsize;
}

Result<std::unique_ptr<File>> PosixFileSystem::lock(const std::string& path) {
  for (;;) {
    Result<UniqueFd> fd = open_file(path, O_RDWR | O_CREAT);
    if (!fd) return std::unexpected(fd.error());
    if (::flock(fd->get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) {
        return fail(ErrorCode::kExists, path + " is locked: another process uses this directory", EWOULDBLOCK);
      }
      return fail_errno("cannot lock " + path, errno);
    }
    // The previous holder may have moved or removed the file: then this is a lock on nothing.
    const Result<bool> same = same_file(fd->get(), path);
    if (!same) return std::unexpected(same.error());
    if (!*same) continue;
    // The folder as well: anybody can remove the file and make it anew while it is locked. Where a folder cannot be locked (NFS),
    // the file has to do.
    Result<UniqueFd> folder = open_fd(folder_of(path), O_RDONLY | O_DIRECTORY);
    if (!folder) return std::unexpected(folder.error());
    if (::flock(folder->get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      return fail(ErrorCode::kExists, path + " was removed while another process uses this directory", EWOULDBLOCK);
    }
    return std::make_unique<LockFile>(std::move(*fd), std::move(*folder), path);
  }
}

Result<FlushEngine*> PosixFileSystem::engine_of(Loop& loop) {
  const std::lock_guard lock(mutex_);
  if (const auto found = engines_.find(&loop); found != engines_.end()) return found->second.get();
  auto* const ours = dynamic_cast<EpollLoop*>(&loop);
  WEIR_CHECK(ours != nullptr);
  auto engine = make_flush_engine(engine_kind_, *ours);
  if (!engine) return std::unexpected(engine.error());
  return engines_.emplace(&loop, std::move(*engine)).first->second.get();
}

Result<void> PosixFileSystem::prepare_writers(Loop& loop) {
  const Result<FlushEngine*> engine = engine_of(loop);
  if (!engine) return std::unexpected(engine.error());
  return {};
}

Result<std::unique_ptr<DurableWriter>> PosixFileSystem::durable_writer(const std::string& path, Loop& loop,
                                                                       bool flush_to_device) {
  Result<UniqueFd> fd = flush_to_device ? open_direct(path, O_WRONLY) : open_file(path, O_WRONLY);
  if (!fd) return std::unexpected(fd.error());
  const Result<FlushEngine*> engine = engine_of(loop);
  if (!engine) return std::unexpected(engine.error());
  return std::make_unique<EngineWriter>(**engine, std::move(*fd), path, flush_to_device);
}

}  // namespace weir::runtime
