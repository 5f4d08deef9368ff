// How much more memory the process has had since a moment, at its highest. It sets the kernel's mark back: one at a time.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

namespace weir::testing {

class PeakMemory {
 public:
  PeakMemory() {
    std::ofstream("/proc/self/clear_refs") << "5";
    begin_ = read("VmRSS:");
  }
  uint64_t grown_bytes() const {
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
