// Reference-counted, page-aligned memory for the bytes' way through the broker.
//
// A Buffer is filled by one owner and then shared as immutable Slices: received frames, WAL chunks, the tail cache and
// responses in flight all point into the same memory. The count is atomic, because a slice owned by one shard is sent
// by another shard's connection. A Buffer is aligned to kBufferAlignment so that it can be written with O_DIRECT.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/bytes.h"

namespace weir {

inline constexpr size_t kBufferAlignment = 4096;

class Buffer {
 public:
  Buffer() = default;
  // Uninitialised memory of at least `capacity` bytes. Up to 4 MiB it comes from memory that was used before, if some is
  // kept. Throws std::bad_alloc.
  static Buffer allocate(size_t capacity);

  Buffer(const Buffer& other) noexcept : block_(other.block_) { retain(); }
  Buffer(Buffer&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  Buffer& operator=(Buffer other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~Buffer() { release(); }

  explicit operator bool() const { return block_ != nullptr; }
  uint8_t* data() const { return block_ ? block_->memory : nullptr; }
  size_t capacity() const { return block_ ? block_->capacity : 0; }
  MutableBytes bytes() const { return {data(), capacity()}; }
  bool unique() const { return block_ && block_->references.load(std::memory_order_acquire) == 1; }
  bool same(const Buffer& other) const { return block_ == other.block_; }

  // Bytes held by all live Buffers of the process (not the free lists).
  static uint64_t live_bytes();
  // Gives the memory that is kept for reuse back to the system.
  static void trim();

 private:
  struct Block {
    std::atomic<uint32_t> references;
    uint8_t* memory;
    size_t capacity;
  };
  void retain() const noexcept {
    if (block_) block_->references.fetch_add(1, std::memory_order_relaxed);
  }
  void release() noexcept {
    if (block_ && block_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy(block_);
  }
  static void destroy(Block* block) noexcept;

  Block* block_ = nullptr;
};

// A range of a Buffer that keeps the Buffer alive.
struct Slice {
  Buffer owner;
  const uint8_t* data = nullptr;
  size_t size = 0;

  Bytes bytes() const { return {data, size}; }
  // A Buffer of its own that holds the same bytes.
  static Slice copy_of(Bytes bytes) {
    Slice copy{Buffer::allocate(bytes.size()), nullptr, bytes.size()};
    copy.data = copy.owner.data();
    std::copy(bytes.begin(), bytes.end(), copy.owner.data());
    return copy;
  }
};

}  // namespace weir
