// A clock that a test sets by hand.
#pragma once

#include <cstdint>

#include "runtime/clock.h"

namespace weir::testing {

class FakeClock final : public runtime::Clock {
 public:
  explicit FakeClock(int64_t wall_ms = 1'735'689'600'000) : wall_ms_(wall_ms) {}
  int64_t monotonic_ns() const override { return monotonic_ns_; }
  int64_t wall_ms() const override { return wall_ms_; }
  void advance_ms(int64_t ms) {
    monotonic_ns_ += ms * 1'000'000;
    wall_ms_ += ms;
  }
  void set_wall_ms(int64_t ms) { wall_ms_ = ms; }

 private:
  int64_t monotonic_ns_ = 1'000'000'000;
  int64_t wall_ms_;
};

}  // namespace weir::testing
