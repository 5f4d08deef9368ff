#include "protocol/arena.h"

#include <algorithm>
#include <cstring>

namespace weir::protocol {
namespace {
constexpr size_t kFirstBlockBytes = 4096;
constexpr size_t kLargestGrowthBytes = size_t{1} << 20;
}  // namespace

void* Arena::allocate_slowly(size_t size) {
  // Memory of new[] is aligned for every type the arena takes, so a fresh block needs no padding.
  if (next_ != nullptr) ++current_;
  while (current_ < blocks_.size() && blocks_[current_].size < size) ++current_;
  if (current_ >= blocks_.size()) {
    const size_t growth = std::clamp(held_bytes_, kFirstBlockBytes, kLargestGrowthBytes);
    const size_t block_size = std::max(size, growth);
    blocks_.push_back({std::unique_ptr<std::byte[]>(new std::byte[block_size]), block_size});
    held_bytes_ += block_size;
    current_ = blocks_.size() - 1;
  }
  next_ = blocks_[current_].memory.get() + size;
  end_ = blocks_[current_].memory.get() + blocks_[current_].size;
  used_bytes_ += size;
  return blocks_[current_].memory.get();
}

std::string_view Arena::copy(std::string_view text) {
  if (text.empty()) return {};
  void* memory = allocate(text.size(), 1);
  if (memory == nullptr) return {};
  std::memcpy(memory, text.data(), text.size());
  return {static_cast<const char*>(memory), text.size()};
}

void Arena::reset() {
  // The largest go first: they were made for one unusual message.
  if (held_bytes_ > keep_bytes_) {
    std::sort(blocks_.begin(), blocks_.end(), [](const Block& a, const Block& b) { return a.size < b.size; });
    while (!blocks_.empty() && held_bytes_ > keep_bytes_) {
      held_bytes_ -= blocks_.back().size;
      blocks_.pop_back();
    }
  }
  current_ = 0;
  next_ = blocks_.empty() ? nullptr : blocks_[0].memory.get();
  end_ = blocks_.empty() ? nullptr : next_ + blocks_[0].size;
  used_bytes_ = 0;
  exceeded_ = false;
}

}  // namespace weir::protocol
