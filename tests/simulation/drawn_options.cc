#include "simulation/drawn_options.h"

#include <fmt/core.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "testing/seeded_random.h"

namespace weir::simulation {

uint64_t DrawnOptions::one_of(const std::string& name, std::initializer_list<uint64_t> values) {
  const auto [drawn, first] = drawn_.try_emplace(name, 0);
  if (!first) return drawn->second;
  const auto fixed = fixed_.find(name);
  // A stream of its own for each name.
  testing::SeededRandom random(seed_, 1'000'000 + crc32c(as_bytes(name)));
  drawn->second = fixed != fixed_.end() ? fixed->second : values.begin()[random.below(values.size())];
  return drawn->second;
}

std::string DrawnOptions::text() const {
  std::string text;
  for (const auto& [name, value] : drawn_) text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, value);
  return text;
}

std::vector<std::string> DrawnOptions::unknown() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : fixed_) {
    if (!drawn_.contains(name)) names.push_back(name);
  }
  return names;
}

}  // namespace weir::simulation
