// Walks the batch headers of a range of a segment file without reading the records. It reads blocks of up to 64 KiB while batches
// are small, and single headers when batches are large.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/file.h"
#include "storage/segment/stored_batch.h"

namespace weir::storage {

class HeaderScanner {
 public:
  struct Position {
    uint64_t offset = 0;  // in the file
    BatchHeader header;
    uint64_t end() const { return offset + header.size(); }
  };

  // `begin`: the start of a batch. `end`: the end of a batch, such as the valid length of the segment. `name`: for messages. An
  // offset below `lowest_offset` is corruption, and so is an offset that goes back. `file` and `name` outlive the scanner.
  HeaderScanner(runtime::File& file, const std::string& name, uint64_t begin, uint64_t end, int64_t lowest_offset)
      : file_(file), name_(name), position_(begin), end_(end), read_limit_(end), lowest_offset_(lowest_offset) {}

  // Returns the next batch; nothing at the end of the range; kCorrupt where the bytes are no chain of batches.
  Result<std::optional<Position>> next();
  uint64_t position() const { return position_; }  // of the batch that next() will return
  // Keeps reads below `limit`, for callers that know what is in memory and do not ask for headers beyond it.
  void read_below(uint64_t limit) { read_limit_ = std::min(limit, end_); }

 private:
  static constexpr size_t kSmallest = 512;
  static constexpr size_t kLargest = 64 * 1024;

  Result<Bytes> bytes_at(uint64_t offset);

  runtime::File& file_;
  const std::string& name_;
  uint64_t position_;
  const uint64_t end_;
  uint64_t read_limit_;
  int64_t lowest_offset_;
  std::vector<uint8_t> block_;
  uint64_t block_offset_ = 0;
  size_t block_size_ = 0;
  size_t next_read_ = kSmallest;
};

}  // namespace weir::storage
