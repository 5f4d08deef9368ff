#include "broker/metadata/topic_name.h"

#include <algorithm>

namespace weir::broker {
namespace {

constexpr size_t kMaxLength = 249;

bool legal(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

}  // namespace

std::optional<std::string> topic_name_fault(std::string_view name) {
  const std::string prefix = "Topic name is invalid: ";
  const std::string quoted = "'" + std::string(name) + "'";
  if (name.empty()) return prefix + "the empty string is not allowed";
  if (name == "." || name == "..") return prefix + quoted + " is not allowed";
  if (name.size() > kMaxLength) {
    return prefix + "the length of " + quoted + " is longer than the max allowed length " + std::to_string(kMaxLength);
  }
  if (!std::all_of(name.begin(), name.end(), legal)) {
    return prefix + quoted + " contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'";
  }
  return std::nullopt;
}

bool has_collision_characters(std::string_view name) { return name.find_first_of("._") != std::string_view::npos; }

std::string unify_collision_characters(std::string_view name) {
  std::string unified(name);
  std::replace(unified.begin(), unified.end(), '.', '_');
  return unified;
}

}  // namespace weir::broker
