#include "base/crc32c.h"

#include <algorithm>
extern "C" {
#include <isa-l/crc.h>
}

namespace weir {

uint32_t crc32c(Bytes data, uint32_t crc) {
  // ISA-L takes an int length and leaves both inversions to the caller.
  uint32_t state = ~crc;
  while (!data.empty()) {
    const size_t step = std::min<size_t>(data.size(), 1u << 30);
    state = crc32_iscsi(const_cast<unsigned char*>(data.data()), static_cast<int>(step), state);
    data = data.subspan(step);
  }
  return ~state;
}

}  // namespace weir
