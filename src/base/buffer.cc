#include "base/buffer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace weir {
namespace {

std::atomic<uint64_t> g_live_bytes{0};

// Free lists by size class: four classes for each power of two from 4 KiB to 4 MiB, so that rounding up wastes at most a
// fifth. What is kept has been touched already, and that is what makes reuse cheap: the first touch of fresh memory
// costs more than all else the broker does with a large batch. Bounded; trim() gives it back.
constexpr size_t kSmallestShift = 12;
constexpr size_t kLargestClass = 4u << 20;
constexpr size_t kClasses = (22 - kSmallestShift) * 4 + 1;
constexpr size_t kKeptBytes = 96u << 20;

struct FreeList {
  std::mutex mutex;
  std::vector<uint8_t*> free;  // guarded by mutex
};
std::array<FreeList, kClasses>& free_lists() {
  static auto* lists = new std::array<FreeList, kClasses>();
  return *lists;
}
std::atomic<size_t> g_kept_bytes{0};

// The smallest class that holds `capacity` (at most kLargestClass): its index, and its size in `capacity`.
size_t round_to_class(size_t& capacity) {
  const size_t shift = std::max<size_t>(std::bit_width(capacity - 1), kSmallestShift + 1) - 1;  // 2^shift < capacity
  const size_t step = std::max<size_t>((size_t{1} << shift) / 4, kBufferAlignment);
  if (capacity <= (size_t{1} << kSmallestShift)) {
    capacity = size_t{1} << kSmallestShift;
    return 0;
  }
  capacity = align_up(capacity, step);
  const size_t quarters = (capacity - (size_t{1} << shift)) / ((size_t{1} << shift) / 4);  // 1..4
  return (shift - kSmallestShift) * 4 + quarters;
}

uint8_t* system_allocate(size_t capacity) {
  void* memory = nullptr;
  if (posix_memalign(&memory, kBufferAlignment, capacity) != 0) throw std::bad_alloc();
  return static_cast<uint8_t*>(memory);
}

}  // namespace

Buffer Buffer::allocate(size_t capacity) {
  capacity = align_up(capacity == 0 ? 1 : capacity, kBufferAlignment);
  uint8_t* memory = nullptr;
  if (capacity <= kLargestClass) {
    FreeList& list = free_lists()[round_to_class(capacity)];
    std::lock_guard lock(list.mutex);
    if (!list.free.empty()) {
      memory = list.free.back();
      list.free.pop_back();
      g_kept_bytes.fetch_sub(capacity, std::memory_order_relaxed);
    }
  }
  if (!memory) memory = system_allocate(capacity);
  g_live_bytes.fetch_add(capacity, std::memory_order_relaxed);
  Buffer buffer;
  buffer.block_ = new Block{1, memory, capacity};
  return buffer;
}

void Buffer::destroy(Block* block) noexcept {
  const size_t capacity = block->capacity;
  uint8_t* memory = block->memory;
  delete block;
  g_live_bytes.fetch_sub(capacity, std::memory_order_relaxed);
  if (capacity <= kLargestClass && g_kept_bytes.load(std::memory_order_relaxed) + capacity <= kKeptBytes) {
    size_t rounded = capacity;
    FreeList& list = free_lists()[round_to_class(rounded)];
    std::lock_guard lock(list.mutex);
    list.free.push_back(memory);
    g_kept_bytes.fetch_add(capacity, std::memory_order_relaxed);
    return;
  }
  std::free(memory);
}

void Buffer::trim() {
  for (size_t i = 0; i < kClasses; ++i) {
    FreeList& list = free_lists()[i];
    std::lock_guard lock(list.mutex);
    const size_t size = i == 0 ? kBufferAlignment : (size_t{1} << (kSmallestShift + (i - 1) / 4)) / 4 * (5 + (i - 1) % 4);
    g_kept_bytes.fetch_sub(size * list.free.size(), std::memory_order_relaxed);
    for (uint8_t* memory : list.free) std::free(memory);
    list.free.clear();
  }
}

uint64_t Buffer::live_bytes() { return g_live_bytes.load(std::memory_order_relaxed); }

}  // namespace weir
