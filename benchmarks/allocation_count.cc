// Counts the allocations of a broker into which it is preloaded: each call of the malloc family adds one to a counter in a file
// that the measuring side maps (WEIR_ALLOCATION_COUNT names the file; it has 8 bytes). glibc only.
#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
}

namespace {

std::atomic<uint64_t> before_mapping{0};
std::atomic<uint64_t>* counter = &before_mapping;

[[gnu::constructor]] void map_counter() {
  const char* path = std::getenv("WEIR_ALLOCATION_COUNT");
  if (path == nullptr) return;
  const int fd = ::open(path, O_RDWR);
  if (fd < 0) return;
  void* memory = ::mmap(nullptr, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  if (memory != MAP_FAILED) counter = static_cast<std::atomic<uint64_t>*>(memory);
}

void count() { counter->fetch_add(1, std::memory_order_relaxed); }

}  // namespace

extern "C" {

void* malloc(size_t size) {
  count();
  return __libc_malloc(size);
}
void* calloc(size_t number, size_t size) {
  count();
  return __libc_calloc(number, size);
}
void* realloc(void* memory, size_t size) {
  count();
  return __libc_realloc(memory, size);
}
void* memalign(size_t alignment, size_t size) {
  count();
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void** out, size_t alignment, size_t size) {
  *out = memalign(alignment, size);
  return *out == nullptr ? ENOMEM : 0;
}

}  // extern "C"
