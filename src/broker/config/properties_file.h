// Java's properties format: key=value, key: value or key value; # and ! comments; a backslash at the end of a line joins
// the next; \t \n \r \f \uXXXX and backslash before any other character.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::broker {

struct Property {
  std::string key;
  std::string value;
  int line = 0;  // where it begins, from 1
};

// In the order of the text; a key may occur more than once (the last one counts).
Result<std::vector<Property>> parse_properties(std::string_view text);

}  // namespace weir::broker
