#include "runtime/posix_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runtime/file_io.h"

namespace weir::runtime {
namespace {

constexpr uint64_t kPage = 4096;
// Below it reading a whole huge page would mostly read what nobody asked for.
constexpr uint64_t kWorthHugePages = 256 << 10;

// Linux 6.5; newer than the headers of the systems we build on.
constexpr long kCachestatCall = 451;
struct CachestatRange {
  uint64_t offset, length;
};
struct Cachestat {
  uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

enum class Cached { kNo, kYes, kUnknown };

Cached ask_cachestat(int fd, uint64_t begin, uint64_t end) {
  CachestatRange range{begin, end - begin};
  Cachestat answer{};
  if (::syscall(kCachestatCall, fd, &range, &answer, 0) != 0) return Cached::kUnknown;
  return answer.cached >= (end - begin) / kPage ? Cached::kYes : Cached::kNo;
}

}  // namespace

Result<size_t> PosixFile::read_at(uint64_t offset, MutableBytes into) { return read_fully(fd_.get(), offset, into, path_); }

Result<void> PosixFile::write_at(uint64_t offset, std::span<const iovec> pieces) {
  PendingPieces pending;
  pending.assign(pieces);
  return write_fully(fd_.get(), offset, pending, 0, path_);
}

Result<void> PosixFile::sync() {
  if (::fdatasync(fd_.get()) != 0) return fail_errno("cannot flush " + path_, errno);
  return {};
}

Result<void> PosixFile::truncate(uint64_t length) {
  int status = 0;
  do {
    status = ::ftruncate(fd_.get(), static_cast<off_t>(length));
  } while (status != 0 && errno == EINTR);
  if (status != 0) return fail_errno("cannot truncate " + path_, errno);
  return {};
}

Result<void> PosixFile::allocate(uint64_t length) {
  if (length == 0) return {};
  int status = 0;
  do {
    status = ::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(length));
  } while (status != 0 && errno == EINTR);
  if (status == 0) return {};
  if (errno != EOPNOTSUPP) return fail_errno("cannot allocate space for " + path_, errno);
  struct statvfs space{};
  struct stat file{};
  if (::fstatvfs(fd_.get(), &space) != 0 || ::fstat(fd_.get(), &file) != 0) {
    return fail_errno("cannot ask for the free space around " + path_, errno);
  }
  const uint64_t present = static_cast<uint64_t>(file.st_blocks) * 512;
  if (length > present && length - present > uint64_t{space.f_bavail} * space.f_frsize) {
    return fail_errno("cannot allocate space for " + path_, ENOSPC);
  }
  return {};
}

Result<uint64_t> PosixFile::size() {
  struct stat file{};
  if (::fstat(fd_.get(), &file) != 0) return fail_errno("cannot ask for the size of " + path_, errno);
  return static_cast<uint64_t>(file.st_size);
}

Result<uint64_t> PosixFile::allocated() {
  struct stat file{};
  if (::fstat(fd_.get(), &file) != 0) return fail_errno("cannot ask for the space of " + path_, errno);
  return static_cast<uint64_t>(file.st_blocks) * 512;
}

// True if the byte's page is in the cache and up to date; never waits for the device.
bool PosixFile::probe(uint64_t offset) {
  uint8_t byte = 0;
  const iovec piece{&byte, 1};
  return ::preadv2(fd_.get(), &piece, 1, static_cast<off_t>(offset), RWF_NOWAIT) == 1;
}

bool PosixFile::resident(uint64_t offset, size_t length) {
  if (length == 0) return true;
  const uint64_t begin = align_down(offset, kPage);
  const uint64_t end = align_up(offset + length, kPage);
  switch (ask_cachestat(fd_.get(), begin, end)) {
    case Cached::kNo:
      return false;
    case Cached::kYes:
      // A page that is still being read counts as cached. Reads complete front to back, so the last byte
      // tells.
      return probe(offset + length - 1);
    case Cached::kUnknown:
      break;
  }
  for (uint64_t page = begin; page < end; page += kPage) {
    if (!probe(std::max(page, offset))) return false;
  }
  return true;
}

// Waits by populating a mapping: no copy of the bytes. Large pieces are read as huge pages where the kernel has
// them for the file system, at a fifth of the cost of single pages; it then reads around the piece, in whole huge pages.
Result<void> PosixFile::make_resident(uint64_t offset, size_t length) {
  const Result<uint64_t> file_size = size();
  if (!file_size) return std::unexpected(file_size.error());
  const uint64_t begin = align_down(offset, kPage);
  const uint64_t end = std::min(offset + length, *file_size);
  if (end <= begin) return {};
  void* map = ::mmap(nullptr, end - begin, PROT_READ, MAP_SHARED, fd_.get(), static_cast<off_t>(begin));
  const bool huge = map != MAP_FAILED && end - begin >= kWorthHugePages && ::madvise(map, end - begin, MADV_HUGEPAGE) == 0;
  if (!huge) ::readahead(fd_.get(), static_cast<off_t>(begin), end - begin);
  if (map != MAP_FAILED) {
    const int status = ::madvise(map, end - begin, MADV_POPULATE_READ);
    const int os_errno = errno;
    ::munmap(map, end - begin);
    if (status == 0) return {};
    // Linux before 5.14 does not know it; EFAULT is a read error or a file that was cut meanwhile: reading
    // tells which.
    if (os_errno != EINVAL && os_errno != EFAULT) return fail_errno("cannot read " + path_, os_errno);
  }
  for (uint64_t page = begin; page < end; page += kPage) {
    uint8_t byte = 0;
    const Result<size_t> got = read_fully(fd_.get(), page, {&byte, 1}, path_);
    if (!got) return std::unexpected(got.error());
  }
  return {};
}

}  // namespace weir::runtime
