#include "coordination/group/consumer/assignor.h"

#include <algorithm>

namespace weir::coordination {
namespace {

constexpr Assignor kAssignors[] = {{"uniform", assign_uniform}, {"range", assign_range}};

}  // namespace

std::span<const Assignor> consumer_assignors() { return kAssignors; }

const Assignor* find_consumer_assignor(std::string_view name) {
  const auto* const found = std::ranges::find(kAssignors, name, &Assignor::name);
  return found == std::end(kAssignors) ? nullptr : found;
}

}  // namespace weir::coordination
