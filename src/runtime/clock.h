// Time and randomness, injected everywhere so that the production server runs from a seed in simulation.
#pragma once

#include <cstdint>

#include "base/uuid.h"

namespace weir::runtime {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t monotonic_ns() const = 0;  // never goes back; for timeouts and durations
  virtual int64_t wall_ms() const = 0;       // Unix time; for record timestamps and retention
};

// Not thread-safe: each loop has its own.
class Random {
 public:
  virtual ~Random() = default;
  virtual uint64_t next() = 0;
  Uuid uuid() {
    const uint64_t high = next();
    return Uuid::from_random(high, next());
  }
};

}  // namespace weir::runtime
