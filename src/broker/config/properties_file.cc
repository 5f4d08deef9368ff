#include "broker/config/properties_file.h"

#include <fmt/format.h>

namespace weir::broker {

namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\f'; }

void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3f));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  }
}

// Reads logical lines: natural lines joined where one ends with an odd number of backslashes.
class LineReader {
 public:
  explicit LineReader(std::string_view text) : text_(text) {}

  bool next(std::string& line, int& number) {
    line.clear();
    while (at_ < text_.size()) {
      number = line_ + 1;
      std::string_view natural = skip_blanks(natural_line());
      if (natural.empty() || natural[0] == '#' || natural[0] == '!') continue;
      for (;;) {
        size_t backslashes = 0;
        while (backslashes < natural.size() && natural[natural.size() - 1 - backslashes] == '\\') ++backslashes;
        const bool goes_on = backslashes % 2 == 1;
        line += natural.substr(0, natural.size() - (goes_on ? 1 : 0));
        if (!goes_on || at_ >= text_.size()) break;
        natural = skip_blanks(natural_line());
      }
      if (!line.empty()) return true;  // as it is after a lone backslash
    }
    return false;
  }

 private:
  std::string_view natural_line() {
    const size_t end = text_.find_first_of("\r\n", at_);
    std::string_view line = text_.substr(at_, end == std::string_view::npos ? end : end - at_);
    at_ = end == std::string_view::npos ? text_.size() : end + 1;
    if (end != std::string_view::npos && text_[end] == '\r' && at_ < text_.size() && text_[at_] == '\n') ++at_;
    ++line_;
    return line;
  }
  static std::string_view skip_blanks(std::string_view line) {
    while (!line.empty() && is_blank(line.front())) line.remove_prefix(1);
    return line;
  }

  std::string_view text_;
  size_t at_ = 0;
  int line_ = 0;
};

bool parse_hex4(std::string_view text, uint32_t& value) {
  if (text.size() < 4) return false;
  value = 0;
  for (const char c : text.substr(0, 4)) {
    int digit = -1;
    if (c >= '0' && c <= '9') digit = c - '0';
    if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
    if (c >= 'A' && c <= 'F') digit = c - 'A' + 10;
    if (digit < 0) return false;
    value = value * 16 + static_cast<uint32_t>(digit);
  }
  return true;
}

Result<std::string> unescape(std::string_view text, int line) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char c = text[++i];
    if (c != 'u') {
      out += c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c == 'f' ? '\f' : c;
      continue;
    }
    uint32_t code = 0;
    if (!parse_hex4(text.substr(i + 1), code)) {
      return fail(weir::ErrorCode::kInvalid, fmt::format("line {}: \\u needs four hexadecimal digits", line));
    }
    i += 4;
    uint32_t low = 0;
    const bool pair = code >= 0xd800 && code < 0xdc00 && text.substr(i + 1, 2) == "\\u" && parse_hex4(text.substr(i + 3), low) &&
                      low >= 0xdc00 && low < 0xe000;
    if (pair) {
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
      i += 6;
    }
    append_utf8(out, code);
  }
  return out;
}

}  // namespace

Result<std::vector<Property>> parse_properties(std::string_view text) {
  std::vector<Property> result;
  LineReader lines(text);
  std::string line;
  int number = 0;
  while (lines.next(line, number)) {
    size_t key_end = 0;
    while (key_end < line.size() && line[key_end] != '=' && line[key_end] != ':' && !is_blank(line[key_end])) {
      key_end += line[key_end] == '\\' ? 2 : 1;
    }
    if (key_end > line.size()) key_end = line.size();
    size_t value_begin = key_end;
    while (value_begin < line.size() && is_blank(line[value_begin])) ++value_begin;
    if (value_begin < line.size() && (line[value_begin] == '=' || line[value_begin] == ':')) ++value_begin;
    while (value_begin < line.size() && is_blank(line[value_begin])) ++value_begin;
    auto key = unescape(std::string_view(line).substr(0, key_end), number);
    if (!key) return std::unexpected(key.error());
    auto value = unescape(std::string_view(line).substr(value_begin), number);
    if (!value) return std::unexpected(value.error());
    result.push_back({std::move(*key), std::move(*value), number});
  }
  return result;
}

}  // namespace weir::broker
