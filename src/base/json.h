// The one writer of JSON strings: whatever the bytes are, what comes out is valid JSON in valid UTF-8 on one line.
#pragma once

#include <string>
#include <string_view>

namespace weir {

// Quoted. Bytes that are no UTF-8 become U+FFFD each, as browsers and Java show them.
void append_json_string(std::string& out, std::string_view text);
std::string json_string(std::string_view text);

}  // namespace weir
