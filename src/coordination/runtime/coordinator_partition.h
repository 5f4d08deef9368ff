// A coordinator whose state machine is an `S`: CoordinatorRuntime with the type put back, for senders of requests.
#pragma once

#include <utility>

#include "coordination/runtime/coordinator_runtime.h"

namespace weir::coordination {

template <typename S>
class CoordinatorPartition final : public CoordinatorRuntime {
 public:
  using Step = Function<void(S&, Instant, Effects&)>;

  // `make_machine` makes an S.
  using CoordinatorRuntime::CoordinatorRuntime;

  void run(Step step) {
    CoordinatorRuntime::run([step = std::move(step)](StateMachine& machine, Instant at, Effects& effects) mutable {
      step(static_cast<S&>(machine), at, effects);
    });
  }
  const S& state() const { return static_cast<const S&>(machine()); }
};

}  // namespace weir::coordination
