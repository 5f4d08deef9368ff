// Characters of a text that may be any bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir {

// Length of the UTF-8 character that `text` (not empty) begins with, 0 if that is none: cut short, overlong, a surrogate, too
// large.
inline size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (first == 0xe0 && byte(1) < 0xa0) return 0;
  if (first == 0xed && byte(1) >= 0xa0) return 0;
  if (first == 0xf0 && byte(1) < 0x90) return 0;
  if (first == 0xf4 && byte(1) >= 0x90) return 0;
  return length;
}

// Takes the first character away from `text` (not empty) and gives it; a byte that belongs to none gives U+FFFD.
inline std::string_view take_character(std::string_view& text) {
  const size_t length = utf8_length(text);
  const std::string_view character = length > 0 ? text.substr(0, length) : "\xef\xbf\xbd";
  text.remove_prefix(length > 0 ? length : 1);
  return character;
}

// True of a character that ends a line for some reader or controls a terminal: the control characters of ASCII and of
// Latin-1 (C1), and the separators of lines and paragraphs. Its code then goes to `code`.
inline bool is_control(std::string_view character, uint32_t& code) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(character[i]); };
  code = byte(0);
  if (character.size() == 1) return code < 0x20 || code == 0x7f;
  code = byte(1);
  if (character.size() == 2) return byte(0) == 0xc2 && code < 0xa0;
  code = character == "\xe2\x80\xa8" ? 0x2028 : 0x2029;
  return character == "\xe2\x80\xa8" || character == "\xe2\x80\xa9";
}

}  // namespace weir
