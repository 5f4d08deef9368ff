// The largest growth of the process's memory since this object was made. Resets the kernel's mark, so only one object at a time.
// Returns 0 with sanitizers, because they keep freed memory.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

namespace weir::testing {

// GCC and clang announce sanitizers in different ways.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kMemoryIsMeasured = false;
#elif defined(__has_feature)
inline constexpr bool kMemoryIsMeasured = !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer);
#else
inline constexpr bool kMemoryIsMeasured = true;
#endif

class PeakMemory {
 public:
  PeakMemory() {
    std::ofstream("/proc/self/clear_refs") << "5";
    begin_ = read("VmRSS:");
  }
  uint64_t grown_bytes() const {
    if (!kMemoryIsMeasured) return 0;
    const uint64_t peak = read("VmHWM:");
    return peak > begin_ ? peak - begin_ : 0;
  }

 private:
  static uint64_t read(const std::string& name) {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
      uint64_t kib = 0;
      if (word == name && status >> kib) return kib << 10;
    }
    return 0;
  }

  uint64_t begin_ = 0;
};

}  // namespace weir::testing
