// Paths as Kafka names log directories: absolute, without a slash at the end. Whoever reads one in the log, or in an answer, may
// be in another folder.
#pragma once

#include <filesystem>
#include <string>

namespace weir::apps {

// `..` stays: behind a link it leads elsewhere than the text says.
inline std::string absolute_path(std::string path) {
  while (path.starts_with("./") && path.find_first_not_of('/', 2) != std::string::npos)
    path.erase(0, path.find_first_not_of('/', 2));
  std::error_code failed;
  const auto absolute = path == "." ? std::filesystem::current_path(failed) : std::filesystem::absolute(path, failed);
  std::string text = failed ? path : absolute.string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

}  // namespace weir::apps
