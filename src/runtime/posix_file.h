// File on a descriptor of the kernel.
#pragma once

#include <string>

#include "runtime/file.h"
#include "runtime/unique_fd.h"

namespace weir::runtime {

// Thread-safe as the kernel is: concurrent calls on different ranges are fine.
class PosixFile : public File {
 public:
  PosixFile(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  using File::write_at;
  Result<size_t> read_at(uint64_t offset, MutableBytes into) override;
  Result<void> write_at(uint64_t offset, std::span<const iovec> pieces) override;
  Result<void> sync() override;
  Result<void> truncate(uint64_t length) override;
  // Keeps the file's length (FALLOC_FL_KEEP_SIZE). Where the file system cannot allocate, checks the free
  // space only.
  Result<void> allocate(uint64_t length) override;
  Result<uint64_t> size() override;
  Result<uint64_t> allocated() override;
  // Two system calls (cachestat and a read of one byte that may not wait); a probe per page on kernels
  // before 6.5.
  bool resident(uint64_t offset, size_t length) override;
  Result<void> make_resident(uint64_t offset, size_t length) override;
  int descriptor() const override { return fd_.get(); }

 private:
  bool probe(uint64_t offset);

  const UniqueFd fd_;
  const std::string path_;
};

}  // namespace weir::runtime
