#include "storage/wal/file_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace weir::storage {

Result<std::unique_ptr<WalFileReader>> WalFileReader::open(runtime::FileSystem& files, const std::string& path, bool write) {
  auto file = files.open(path, {.write = write});
  if (!file) return std::unexpected(file.error());
  const auto size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  return std::unique_ptr<WalFileReader>(new WalFileReader(std::move(*file), *size));
}

Slice WalFileReader::read(uint64_t offset, size_t length) {
  if (error_ || offset >= size_) return {};
  length = static_cast<size_t>(std::min<uint64_t>(length, size_ - offset));
  const bool begins_inside = window_ && offset >= window_begin_ && offset < window_end_;
  if (!begins_inside || offset + length > window_end_) {
    const size_t capacity = align_up(std::max(length, ahead_), kBufferAlignment);
    ahead_ = std::min(ahead_ * 2, kLargestWindow);
    Buffer fresh = Buffer::allocate(capacity);
    size_t kept = 0;
    if (begins_inside) {
      kept = static_cast<size_t>(window_end_ - offset);
      std::memcpy(fresh.data(), window_.data() + (offset - window_begin_), kept);
    }
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(capacity - kept, size_ - offset - kept));
    const auto got = file_->read_at(offset + kept, MutableBytes(fresh.data() + kept, wanted));
    if (!got) {
      error_ = got.error();
      return {};
    }
    bytes_read_ += *got;
    window_ = std::move(fresh);
    window_begin_ = offset;
    window_end_ = offset + kept + *got;
    length = static_cast<size_t>(std::min<uint64_t>(length, window_end_ - offset));
  }
  return {window_, window_.data() + (offset - window_begin_), length};
}

}  // namespace weir::storage
