#include "runtime/file_io.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"

namespace weir::runtime {
namespace {

constexpr size_t kPiecesPerCall = 1024;      // IOV_MAX
constexpr size_t kDirectAlignmentMin = 512;  // no device has smaller blocks
}  // namespace

bool drop_direct(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_DIRECT) != 0 && ::fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0;
}

void PendingPieces::assign(std::span<const iovec> pieces) {
  pieces_.assign(pieces.begin(), pieces.end());
  position_ = 0;
  skip_empty();
}

std::span<iovec> PendingPieces::next() {
  return std::span(pieces_).subspan(position_, std::min(kPiecesPerCall, pieces_.size() - position_));
}

void PendingPieces::consume(size_t bytes) {
  while (bytes > 0) {
    WEIR_CHECK(!empty());
    iovec& piece = pieces_[position_];
    const size_t part = std::min(bytes, piece.iov_len);
    piece.iov_base = static_cast<uint8_t*>(piece.iov_base) + part;
    piece.iov_len -= part;
    bytes -= part;
    if (piece.iov_len == 0) ++position_;
  }
  skip_empty();
}

void PendingPieces::skip_empty() {
  while (position_ < pieces_.size() && pieces_[position_].iov_len == 0) ++position_;
}

Result<void> write_fully(int fd, uint64_t offset, PendingPieces& pieces, int rw_flags, const std::string& name) {
  while (!pieces.empty()) {
    const std::span<iovec> now = pieces.next();
    const ssize_t n = ::pwritev2(fd, now.data(), static_cast<int>(now.size()), static_cast<off_t>(offset), rw_flags);
    if (n < 0) {
      if (errno == EINTR) continue;
      const int os_errno = errno;
      if (os_errno == EINVAL && drop_direct(fd)) continue;
      return fail_errno("cannot write " + name, os_errno);
    }
    if (n == 0) return fail_errno("cannot write " + name, EIO);
    pieces.consume(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

Result<size_t> read_fully(int fd, uint64_t offset, MutableBytes into, const std::string& name) {
  size_t got = 0;
  while (got < into.size()) {
    const ssize_t n = ::pread(fd, into.data() + got, into.size() - got, static_cast<off_t>(offset + got));
    if (n < 0) {
      if (errno == EINTR) continue;
      const int os_errno = errno;
      if (os_errno == EINVAL && drop_direct(fd)) continue;
      return fail_errno("cannot read " + name, os_errno);
    }
    got += static_cast<size_t>(n);
    if (n == 0) break;
    // Only the end of the file makes a direct read stop unaligned, and it could not go on from there.
    if (got < into.size() && got % kDirectAlignmentMin != 0 && (::fcntl(fd, F_GETFL) & O_DIRECT) != 0) break;
  }
  return got;
}

}  // namespace weir::runtime
