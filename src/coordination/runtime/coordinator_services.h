// The services of the broker for a coordinator.
#pragma once

#include <any>

#include "base/function.h"
#include "coordination/runtime/effects.h"

namespace weir::coordination {

// Called on the coordinator's loop; `done` comes there, once, or not at all if the broker ends before.
class CoordinatorServices {
 public:
  virtual ~CoordinatorServices() = default;
  virtual void call(ControllerRequest request, Function<void(ControllerResult)> done) = 0;
  virtual void post(const storage::PartitionId& to, std::any message, Function<void(std::any)> done) = 0;
};

}  // namespace weir::coordination
