// Lengths and hashes of texts as Java has them: in UTF-16 units.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir {

// Calls visit(unit) for every UTF-16 unit of a text in UTF-8. What is no UTF-8 becomes U+FFFD as in Java's
// `new String(bytes, UTF_8)`: one for each longest beginning of a character that does not go on.
template <typename Visit>
void each_utf16(std::string_view text, Visit visit) {
  constexpr uint32_t kReplacement = 0xfffd;
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<uint8_t>(text[i++]);
    if (lead < 0x80) {
      visit(uint32_t{lead});
      continue;
    }
    const size_t more = lead < 0xc2 || lead > 0xf4 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    uint32_t point = lead & (0x3fu >> more);
    size_t taken = 0;
    for (; taken < more && i < text.size(); ++taken, ++i) {
      const auto next = static_cast<uint8_t>(text[i]);
      // The first one decides whether the form is too long, or the character beyond the last one.
      const bool bad_form =
          taken == 0 && ((lead == 0xe0 && next < 0xa0) || (lead == 0xf0 && next < 0x90) || (lead == 0xf4 && next > 0x8f));
      if ((next & 0xc0) != 0x80 || bad_form) break;
      point = point << 6 | (next & 0x3f);
    }
    if (more == 0 || taken < more || (point >= 0xd800 && point < 0xe000)) {
      visit(kReplacement);
    } else if (point < 0x10000) {
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
