// The time of a test's world around one state machine. It passes from deadline to deadline.
#pragma once

#include <algorithm>
#include <cstdint>

#include "coordination/runtime/effects.h"

namespace weir::coordination {

// `World` has the state machine as `state`, and `step(run)`.
template <typename World>
class WorldTime {
 public:
  Instant now{1'000, 1'735'689'600'000};

  void advance(int64_t ms) {
    World& world = static_cast<World&>(*this);
    const int64_t end = now.monotonic_ms + ms;
    while (world.state->next_deadline_ms() <= end) {
      to(std::max(now.monotonic_ms, world.state->next_deadline_ms()));
      world.step([&](Effects& effects) { world.state->tick(now, effects); });
    }
    to(end);
  }
  void to(int64_t monotonic_ms) {
    now.wall_ms += monotonic_ms - now.monotonic_ms;
    now.monotonic_ms = monotonic_ms;
  }
};

}  // namespace weir::coordination
