// Copies a segment that nobody writes to any more, byte for byte, into another log directory. It copies unbuffered, so that
// readers' data stays in the page cache. The copy is no part of the log before a manifest names it.
//
// Call step() until it returns true. After an error the copy is worthless. Blocking, one thread at a time.
#pragma once

#include <memory>
#include <string>

#include "base/buffer.h"
#include "base/result.h"
#include "runtime/file.h"
#include "storage/segment/manifest.h"

namespace weir::storage {

class SegmentCopy {
 public:
  static constexpr size_t kPieceBytes = 1 << 20;

  struct Paths {
    std::string log;
    std::string index;
    std::string aborted;
  };
  // Creates the file in a folder that exists. `copy`: the row of the copy.
  static Result<std::unique_ptr<SegmentCopy>> create(runtime::FileSystem& files, Paths source, Paths target, SegmentInfo copy);

  // Copies about `bytes_max`. Returns true once contents and length of all files are durable. Their names are not durable yet.
  Result<bool> step(uint64_t bytes_max);
  uint64_t copied_bytes() const { return copied_; }
  const SegmentInfo& info() const { return info_; }

 private:
  SegmentCopy(runtime::FileSystem& files, Paths source, Paths target, SegmentInfo copy)
      : files_(files), source_(std::move(source)), target_(std::move(target)), info_(copy) {}
  Result<void> copy_piece();
  Result<void> finish();
  Result<void> copy_aborted();
  void copy_index();

  runtime::FileSystem& files_;
  const Paths source_, target_;
  const SegmentInfo info_;
  std::unique_ptr<runtime::File> from_, direct_, buffered_;
  Buffer piece_;
  uint64_t copied_ = 0;
};

}  // namespace weir::storage
