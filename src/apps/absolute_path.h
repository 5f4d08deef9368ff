// Paths as Kafka names log directories: absolute, without a slash at the end. Whoever reads one in the log, or in an answer, may be
// in another folder.
#pragma once

#include <filesystem>
#include <string>

namespace weir::apps {

inline std::string absolute_path(const std::string& path) {
  std::error_code failed;
  const auto absolute = std::filesystem::absolute(path, failed);
  std::string text = failed ? path : absolute.lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

}  // namespace weir::apps
