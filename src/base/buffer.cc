#include "base/buffer.h"

#include <sys/mman.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace weir {
namespace {

std::atomic<uint64_t> g_live_bytes{0};

// Free lists by power-of-two size class, 4 KiB to 4 MiB. Their content is bounded, so a burst's memory goes back to
// the system; what is kept has been touched already, which is what makes reuse cheap.
constexpr size_t kSmallestClass = 12;
constexpr size_t kLargestClass = 22;
constexpr size_t kKeptBytesPerClass = 8u << 20;

struct FreeList {
  std::mutex mutex;
  std::vector<uint8_t*> free;  // guarded by mutex
};
std::array<FreeList, kLargestClass - kSmallestClass + 1>& free_lists() {
  static auto* lists = new std::array<FreeList, kLargestClass - kSmallestClass + 1>();
  return *lists;
}

size_t size_class(size_t capacity) { return std::bit_width(capacity - 1); }

uint8_t* system_allocate(size_t capacity) {
  void* memory = nullptr;
  if (posix_memalign(&memory, kBufferAlignment, capacity) != 0) throw std::bad_alloc();
  return static_cast<uint8_t*>(memory);
}

}  // namespace

Buffer Buffer::allocate(size_t capacity) {
  capacity = align_up(capacity == 0 ? 1 : capacity, kBufferAlignment);
  uint8_t* memory = nullptr;
  if (const size_t c = size_class(capacity); c <= kLargestClass && std::has_single_bit(capacity)) {
    auto& list = free_lists()[c - kSmallestClass];
    std::lock_guard lock(list.mutex);
    if (!list.free.empty()) {
      memory = list.free.back();
      list.free.pop_back();
    }
  }
  if (!memory) memory = system_allocate(capacity);
  g_live_bytes.fetch_add(capacity, std::memory_order_relaxed);
  Buffer buffer;
  buffer.block_ = new Block{1, memory, capacity};
  return buffer;
}

void Buffer::destroy(Block* block) noexcept {
  g_live_bytes.fetch_sub(block->capacity, std::memory_order_relaxed);
  uint8_t* memory = block->memory;
  if (const size_t c = size_class(block->capacity); c <= kLargestClass && std::has_single_bit(block->capacity)) {
    auto& list = free_lists()[c - kSmallestClass];
    std::lock_guard lock(list.mutex);
    if ((list.free.size() + 1) << c <= kKeptBytesPerClass) {
      list.free.push_back(memory);
      memory = nullptr;
    }
  }
  std::free(memory);
  delete block;
}

uint64_t Buffer::live_bytes() { return g_live_bytes.load(std::memory_order_relaxed); }

}  // namespace weir
