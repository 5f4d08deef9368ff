// The parts of a path.
#pragma once

#include <string>
#include <string_view>

namespace weir {

// The folder that it is in: "." of a name alone, "/" below the root.
inline std::string parent_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? "." : slash == 0 ? "/" : path.substr(0, slash));
}

inline std::string name_in(std::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

}  // namespace weir
