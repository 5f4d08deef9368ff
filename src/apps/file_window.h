// A window of a file that moves forward: it bounds how much of the file is in memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/result.h"
#include "runtime/file.h"

namespace weir::apps {

class FileWindow {
 public:
  static constexpr size_t kReadBytes = 4u << 20;

  FileWindow(runtime::File& file, uint64_t size) : file_(file), size_(size) {}

  // `bytes` bytes at `offset`, fewer at the end of the file. They are valid until the next call.
  Result<Bytes> at(uint64_t offset, size_t bytes) {
    const uint64_t wanted = std::min<uint64_t>(bytes, size_ - std::min(size_, offset));
    if (offset < begin_ || offset + wanted > begin_ + filled_) {
      block_.resize(std::max<size_t>(wanted, std::min<uint64_t>(kReadBytes, size_ - std::min(size_, offset))));
      auto read = file_.read_at(offset, block_);
      if (!read) return std::unexpected(read.error());
      begin_ = offset;
      filled_ = *read;
    }
    const size_t from = offset - begin_;
    return Bytes(block_).subspan(from, std::min<size_t>(wanted, filled_ - from));
  }

  // Of [begin, end), piece by piece: a batch may claim to be of 2 GiB.
  Result<uint32_t> crc(uint64_t begin, uint64_t end) {
    uint32_t crc = 0;
    while (begin < end) {
      auto piece = at(begin, std::min<uint64_t>(end - begin, kReadBytes));
      if (!piece) return std::unexpected(piece.error());
      if (piece->empty()) return fail(ErrorCode::kIo, "the file became shorter while it was read");
      crc = crc32c(*piece, crc);
      begin += piece->size();
    }
    return crc;
  }

 private:
  runtime::File& file_;
  const uint64_t size_;
  std::vector<uint8_t> block_;
  uint64_t begin_ = 0;
  size_t filled_ = 0;
};

}  // namespace weir::apps
