#include "storage/segment/header_scanner.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir::storage {

Result<Bytes> HeaderScanner::bytes_at(uint64_t offset) {
  if (offset >= block_offset_ && offset + BatchHeader::kSize <= block_offset_ + block_size_) {
    return Bytes(block_.data() + (offset - block_offset_), BatchHeader::kSize);
  }
  // If the header lies just behind the block, batches are small, and a larger block pays. Otherwise headers are far apart.
  const bool adjacent = block_size_ > 0 && offset < block_offset_ + block_size_ + kSmallest;
  next_read_ = adjacent ? std::min(next_read_ * 8, kLargest) : kSmallest;
  const uint64_t readable = std::max(read_limit_, offset + BatchHeader::kSize) - offset;
  const size_t wanted = static_cast<size_t>(std::min<uint64_t>(next_read_, readable));
  if (block_.size() < wanted) block_.resize(wanted);
  auto got = file_.read_at(offset, {block_.data(), wanted});
  if (!got) return std::unexpected(std::move(got.error()));
  if (*got < wanted) {
    return fail(ErrorCode::kCorrupt, fmt::format("{}: ends at {} though {} bytes of it are valid", name_, offset + *got, end_));
  }
  block_offset_ = offset;
  block_size_ = wanted;
  return Bytes(block_.data(), BatchHeader::kSize);
}

Result<std::optional<HeaderScanner::Position>> HeaderScanner::next() {
  if (position_ == end_) return std::nullopt;
  if (position_ + BatchHeader::kSize > end_) {
    return fail(ErrorCode::kCorrupt,
                fmt::format("{}: {} bytes at {} are too few for a batch", name_, end_ - position_, position_));
  }
  auto bytes = bytes_at(position_);
  if (!bytes) return std::unexpected(std::move(bytes.error()));
  const auto header = parse_stored_header(*bytes);
  if (!header) return fail(ErrorCode::kCorrupt, fmt::format("{}: no batch header at {}", name_, position_));
  if (header->size() > end_ - position_) {
    return fail(ErrorCode::kCorrupt,
                fmt::format("{}: batch of {} bytes at {} goes beyond the valid {}", name_, header->size(), position_, end_));
  }
  if (header->base_offset < lowest_offset_) {
    return fail(ErrorCode::kCorrupt, fmt::format("{}: batch at {} has offset {}, expected {} or more", name_, position_,
                                                 header->base_offset, lowest_offset_));
  }
  Position found{position_, *header};
  position_ += header->size();
  lowest_offset_ = header->next_offset();
  return found;
}

}  // namespace weir::storage
