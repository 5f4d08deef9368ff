// Lengths and hashes of texts as Java has them: in UTF-16 units.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir {

// Calls visit(unit) for every UTF-16 unit of a text in UTF-8. What is no UTF-8 gives some units, at most one a byte.
template <typename Visit>
void each_utf16(std::string_view text, Visit visit) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<uint8_t>(text[i]);
    const size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    uint32_t point = length == 1 ? lead : lead & (0xffu >> (length + 1));
    for (size_t k = 1; k < length && i + k < text.size(); ++k) point = point << 6 | (static_cast<uint8_t>(text[i + k]) & 0x3f);
    i += length;
    if (point < 0x10000) {
      visit(point);
    } else {
      visit(0xd800 + ((point - 0x10000) >> 10));
      visit(0xdc00 + ((point - 0x10000) & 0x3ff));
    }
  }
}

inline size_t utf16_length(std::string_view text) {
  size_t units = 0;
  each_utf16(text, [&](uint32_t) { ++units; });
  return units;
}

}  // namespace weir
