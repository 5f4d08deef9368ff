// Memory for one message: arrays of a decoded request, the answer built to it.
//
// A bump allocator; nothing in it is destroyed, so it takes only trivially destructible types. reset() frees
// everything at once and keeps blocks up to a bound, so that a connection in steady state never allocates. An
// optional limit bounds what hostile input can make a decoder allocate. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace weir::protocol {

class Arena {
 public:
  static constexpr size_t kUnlimited = std::numeric_limits<size_t>::max();
  static constexpr size_t kKeepBytes = size_t{64} << 10;

  // At most `limit_bytes` are handed out between resets; reset() keeps blocks of at most `keep_bytes`
  // together.
  explicit Arena(size_t limit_bytes = kUnlimited, size_t keep_bytes = kKeepBytes)
      : limit_bytes_(limit_bytes), keep_bytes_(keep_bytes) {}
  Arena(Arena&&) noexcept = default;
  Arena& operator=(Arena&&) noexcept = default;

  // `n` value-initialised elements, or none at all (and exceeded() from then on) if the limit does not allow
  // them.
  template <typename T>
  std::span<T> array(size_t n) {
    static_assert(std::is_trivially_destructible_v<T>);
    if (n == 0) return {};
    if (n > kUnlimited / sizeof(T)) {
      exceeded_ = true;
      return {};
    }
    void* memory = allocate(n * sizeof(T), alignof(T));
    if (memory == nullptr) return {};
    T* first = static_cast<T*>(memory);
    for (size_t i = 0; i < n; ++i) ::new (static_cast<void*>(first + i)) T();
    return {first, n};
  }

  // One value-initialised object; nullptr if the limit does not allow it.
  template <typename T>
  T* create() {
    auto one = array<T>(1);
    return one.empty() ? nullptr : one.data();
  }

  // A copy that lives until reset(); empty if the limit does not allow it.
  std::string_view copy(std::string_view text);

  // Forgets all that was handed out. Everything that points into the arena dangles.
  void reset();

  bool exceeded() const { return exceeded_; }
  void set_limit(size_t limit_bytes) { limit_bytes_ = limit_bytes; }
  size_t used_bytes() const { return used_bytes_; }  // handed out since the last reset, padding included
  size_t held_bytes() const { return held_bytes_; }  // memory owned

 private:
  struct Block {
    std::unique_ptr<std::byte[]> memory;
    size_t size;
  };

  void* allocate(size_t size, size_t alignment) {
    const uintptr_t at = reinterpret_cast<uintptr_t>(next_);
    const size_t padding = static_cast<size_t>(-at) & (alignment - 1);
    if (size > limit_bytes_ || used_bytes_ + padding > limit_bytes_ - size) {
      exceeded_ = true;
      return nullptr;
    }
    if (padding + size > static_cast<size_t>(end_ - next_)) return allocate_slowly(size);
    std::byte* result = next_ + padding;
    next_ = result + size;
    used_bytes_ += padding + size;
    return result;
  }
  void* allocate_slowly(size_t size);

  std::byte* next_ = nullptr;
  std::byte* end_ = nullptr;
  std::vector<Block> blocks_;  // those before current_ are full, current_ is being filled, those after are kept empty
  size_t current_ = 0;
  size_t used_bytes_ = 0;
  size_t held_bytes_ = 0;
  size_t limit_bytes_;
  size_t keep_bytes_;
  bool exceeded_ = false;
};

}  // namespace weir::protocol
