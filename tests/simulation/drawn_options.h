// The options of a run: shards, sizes, rates, which features are on. Drawn from its seed, or fixed by hand; a failure prints
// them, in the form the command line takes.
//
// An option's draw follows from the seed and its name alone: a new option, or one that is fixed, leaves the others as they were.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace weir::simulation {

class DrawnOptions {
 public:
  using Fixed = std::map<std::string, uint64_t>;

  explicit DrawnOptions(uint64_t seed, Fixed fixed = {}) : seed_(seed), fixed_(std::move(fixed)) {}

  // One of the values. Asked again, it is the same.
  uint64_t one_of(const std::string& name, std::initializer_list<uint64_t> values);
  // On in every other seed.
  bool feature(const std::string& name) { return one_of(name, {0, 1}) != 0; }

  // "name=value name=value", by name.
  std::string text() const;
  // Fixed options that nobody asked for: a misspelt name.
  std::vector<std::string> unknown() const;

 private:
  uint64_t seed_;
  Fixed fixed_;
  std::map<std::string, uint64_t> drawn_;
};

}  // namespace weir::simulation
