// Reads the batches of one segment in order, in large unbuffered reads: a pass over a whole log must not push out of the page
// cache the data that consumers read. kCorrupt where the bytes are no chain of batches. Blocks.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/buffer.h"
#include "base/result.h"
#include "storage/segment/segment_data.h"

namespace weir::storage {

class SegmentBatches {
 public:
  static constexpr size_t kReadBytes = 1 << 20;

  // `name` is for messages.
  SegmentBatches(std::unique_ptr<SegmentSource> source, std::string name, const SegmentInfo& segment)
      : source_(std::move(source)), name_(std::move(name)), segment_(segment), lowest_offset_(segment.base_offset) {}

  const std::string& name() const { return name_; }
  // All bytes of the next batch, valid until the next call; nothing at the end.
  Result<std::optional<Bytes>> next();

 private:
  // Brings [position_, position_ + size) into the buffer.
  Result<Bytes> bytes(size_t size);
  std::unexpected<Error> damaged(const std::string& what) const;

  const std::unique_ptr<SegmentSource> source_;
  const std::string name_;
  const SegmentInfo segment_;
  uint64_t position_ = 0;
  int64_t lowest_offset_;
  Buffer buffer_;
  uint64_t buffer_start_ = 0;
  size_t buffered_ = 0;
};

}  // namespace weir::storage
