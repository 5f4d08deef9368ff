// What a compressed batch decompresses to, a window of it at a time: 64 KiB of memory, whatever its records decompress to.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "protocol/compression.h"

namespace weir::protocol {

class RecordWindow {
 public:
  static constexpr size_t kBytes = 64 * 1024;

  // The decompressor has been opened; its fault() tells whether the end is the end. `memory` is taken over as it is, so that it
  // can be used for one batch after the other.
  RecordWindow(Decompressor& decompressor, std::vector<uint8_t>& memory) : decompressor_(decompressor), memory_(memory) {}

  // At least the next `wanted` bytes, or all that there are. Only for more than kBytes the memory grows, as they come.
  Bytes ahead(size_t wanted) {
    if (end_ - at_ < wanted) fill(wanted);
    return Bytes(memory_).subspan(at_, end_ - at_);
  }
  // False if there are not so many.
  bool skip(uint64_t bytes);
  // Whole records, as many as lie in the window and at least one, which they say by themselves to be `count`. Empty at the end
  // and if the rest is no whole record. Valid until the next call.
  Bytes whole_records(int32_t& count);

 private:
  void fill(size_t wanted);

  Decompressor& decompressor_;
  std::vector<uint8_t>& memory_;
  size_t at_ = 0;
  size_t end_ = 0;
};

}  // namespace weir::protocol
