// What somebody else sent, as part of a log line: it must not end the line, begin another, control a terminal, or look like
// what stands around it.
#pragma once

#include <string>
#include <string_view>

namespace weir {

// On one line: control characters become `?`, bytes that are no UTF-8 U+FFFD.
std::string one_line(std::string_view text);

// The same in single quotes. Quotes and backslashes of `text` are escaped, and `...` stands for the rest beyond `bytes_max`.
std::string quoted(std::string_view text, size_t bytes_max = 64);

}  // namespace weir
