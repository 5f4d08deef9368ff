// Complete reads and writes out of system calls that may be interrupted or move less than asked.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace weir::runtime {

// Pieces that are still to be written. Keeps its memory when it is filled again.
class PendingPieces {
 public:
  void assign(std::span<const iovec> pieces);
  // At most as many as one system call takes.
  std::span<iovec> next();
  void consume(size_t bytes);
  bool empty() const { return position_ == pieces_.size(); }

 private:
  void skip_empty();
  std::vector<iovec> pieces_;
  size_t position_ = 0;
};

// A file system that accepted O_DIRECT at open may still refuse it for a range (EINVAL): goes on without.
// True if it was set.
bool drop_direct(int fd);
// pwritev2 with `rw_flags` (RWF_DSYNC or 0) until everything is written. `name` is for the error.
Result<void> write_fully(int fd, uint64_t offset, PendingPieces& pieces, int rw_flags, const std::string& name);
// pread until `into` is full or the file ends.
Result<size_t> read_fully(int fd, uint64_t offset, MutableBytes into, const std::string& name);

}  // namespace weir::runtime
