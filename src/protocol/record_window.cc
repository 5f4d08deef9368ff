#include "protocol/record_window.h"

#include <algorithm>
#include <cstring>

#include "base/varint.h"

namespace weir::protocol {

namespace {
constexpr size_t kLengthBytesMax = 5;
}

void RecordWindow::fill(size_t wanted) {
  if (memory_.size() < kBytes) memory_.resize(kBytes);
  if (at_ > 0) std::memmove(memory_.data(), memory_.data() + at_, end_ - at_);
  end_ -= at_;
  at_ = 0;
  while (end_ < wanted) {
    // A length is believed only as far as bytes came.
    if (end_ == memory_.size()) memory_.resize(std::min(wanted, 2 * memory_.size()));
    const size_t got = decompressor_.read(MutableBytes(memory_).subspan(end_));
    if (got == 0) return;
    end_ += got;
  }
}

bool RecordWindow::skip(uint64_t bytes) {
  while (bytes > end_ - at_) {
    bytes -= end_ - at_;
    at_ = end_;
    if (ahead(1).empty()) return false;
  }
  at_ += bytes;
  return true;
}

Bytes RecordWindow::whole_records(int32_t& count) {
  count = 0;
  size_t wanted = kLengthBytesMax;
  while (true) {
    const Bytes window = ahead(wanted);
    size_t end = 0;
    size_t whole = 0;
    while (true) {
      int32_t size = 0;
      const size_t prefix = read_varint32(window.subspan(end), size);
      if (prefix == 0 || size < 0) break;
      whole = end + prefix + static_cast<size_t>(size);
      if (whole > window.size()) break;
      end = whole;
      ++count;
    }
    if (count > 0) {
      at_ += end;
      return window.first(end);
    }
    if (whole <= window.size() || window.size() < wanted) return {};
    wanted = whole;
  }
}

}  // namespace weir::protocol
