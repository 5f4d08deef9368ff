// The machine's clock and a generator seeded by the kernel.
#pragma once

#include <array>
#include <cstdint>

#include "runtime/clock.h"

namespace weir::runtime {

class SystemClock final : public Clock {
 public:
  int64_t monotonic_ns() const override;
  int64_t wall_ms() const override;
};

// xoshiro256++ seeded from getrandom: unique ids and jitter. Secrets need a cryptographic source instead.
class SystemRandom final : public Random {
 public:
  SystemRandom();
  uint64_t next() override;

 private:
  std::array<uint64_t, 4> state_;
};

}  // namespace weir::runtime
