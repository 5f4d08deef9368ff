#include "base/printable.h"

#include <cstdint>

#include "base/utf8.h"

namespace weir {

namespace {

// Appends the first character, and takes it away from `text`.
void append_character(std::string& out, std::string_view& text, bool escape) {
  const std::string_view character = take_character(text);
  uint32_t code = 0;
  if (is_control(character, code)) {
    out += '?';
  } else {
    if (escape && (character == "'" || character == "\\")) out += '\\';
    out += character;
  }
}

}  // namespace

std::string one_line(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) append_character(out, text, false);
  return out;
}

std::string quoted(std::string_view text, size_t bytes_max) {
  std::string out = "'";
  while (!text.empty() && out.size() <= bytes_max) append_character(out, text, true);
  out += text.empty() ? "'" : "...'";
  return out;
}

}  // namespace weir
