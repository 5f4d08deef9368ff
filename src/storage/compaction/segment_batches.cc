#include "storage/compaction/segment_batches.h"

#include <fmt/format.h>

#include <algorithm>

#include "storage/segment/stored_batch.h"

namespace weir::storage {

std::unexpected<Error> SegmentBatches::damaged(const std::string& what) const {
  return fail(ErrorCode::kCorrupt, fmt::format("{} at {}: {}", name_, position_, what));
}

Result<Bytes> SegmentBatches::bytes(size_t size) {
  if (position_ < buffer_start_ || position_ + size > buffer_start_ + buffered_) {
    const uint64_t start = align_down(position_, kBufferAlignment);
    const size_t wanted = std::max(kReadBytes, static_cast<size_t>(align_up(position_ - start + size, kBufferAlignment)));
    if (buffer_.capacity() < wanted || buffer_.capacity() > 4 * wanted) buffer_ = Buffer::allocate(wanted);
    buffered_ = 0;
    auto got = source_->read_at(start, buffer_.bytes().first(wanted));
    if (!got) return std::unexpected(std::move(got.error()));
    buffer_start_ = start;
    buffered_ = *got;
    if (position_ + size > start + *got) return damaged("the segment ends though more of it is valid");
  }
  return Bytes(buffer_.data() + (position_ - buffer_start_), size);
}

Result<std::optional<Bytes>> SegmentBatches::next() {
  if (position_ == segment_.length) return std::nullopt;
  if (position_ + BatchHeader::kSize > segment_.length) return damaged("too few bytes for a batch");
  auto start = bytes(BatchHeader::kSize);
  if (!start) return std::unexpected(std::move(start.error()));
  const auto header = parse_stored_header(*start);
  if (!header) return damaged("no batch header");
  if (header->size() > segment_.length - position_) return damaged("a batch goes beyond the valid length");
  if (header->base_offset < lowest_offset_) return damaged("an offset goes back");
  auto batch = bytes(header->size());
  if (!batch) return std::unexpected(std::move(batch.error()));
  position_ += header->size();
  lowest_offset_ = header->next_offset();
  return *batch;
}

}  // namespace weir::storage
