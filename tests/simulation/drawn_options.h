// The options of a run: shards, sizes, rates and features. They are drawn from the run's seed, or fixed by hand. A failure prints
// them in the form that the command line takes.
//
// The draw of an option follows from the seed and the option's name alone: a new or a fixed option does not change the others.
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

  // Returns one of the values, always the same one.
  uint64_t one_of(const std::string& name, std::initializer_list<uint64_t> values);
  // True for every other seed.
  bool feature(const std::string& name) { return one_of(name, {0, 1}) != 0; }

  // "name=value name=value", by name.
  std::string text() const;
  // Fixed options that nobody asked for: their names are misspelt.
  std::vector<std::string> unknown() const;

 private:
  uint64_t seed_;
  Fixed fixed_;
  std::map<std::string, uint64_t> drawn_;
};

}  // namespace weir::simulation
