#include "base/json.h"

#include <fmt/format.h>

#include <cstdint>
#include <iterator>

#include "base/utf8.h"

namespace weir {

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const std::string_view character = take_character(text);
    uint32_t code = 0;
    if (is_control(character, code)) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", code);
    } else {
      if (character == "\"" || character == "\\") out += '\\';
      out += character;
    }
  }
  out += '"';
}

std::string json_string(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

}  // namespace weir
