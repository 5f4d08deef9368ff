// Randomness of the simulation: one stream for each use, all derived from the run's seed.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "base/check.h"
#include "runtime/clock.h"

namespace weir::testing {

// One step of SplitMix64; also a good mixer for hashes.
constexpr uint64_t mix(uint64_t value) {
  value += 0x9e3779b97f4a7c15ull;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
  return value ^ (value >> 31);
}

// xoshiro256**, the same on every platform (unlike the distributions of the standard library).
class SeededRandom final : public runtime::Random {
 public:
  // Streams of one seed with different `stream` numbers are independent.
  explicit SeededRandom(uint64_t seed, uint64_t stream = 0) {
    uint64_t word = mix(seed) ^ mix(stream * 0x632be59bd9b4e019ull + 1);
    for (auto& part : state_) part = word = mix(word);
  }

  uint64_t next() override {
    const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }
  // Uniform in [0, bound); bound > 0.
  uint64_t below(uint64_t bound) {
    WEIR_CHECK(bound > 0);
    return next() % bound;
  }
  // Uniform in [low, high].
  uint64_t between(uint64_t low, uint64_t high) { return low + below(high - low + 1); }
  // True once in `n` times; never for n == 0.
  bool one_in(uint64_t n) { return n != 0 && below(n) == 0; }

 private:
  std::array<uint64_t, 4> state_;
};

// Running 64-bit digest of the events of a simulation. Two runs of one seed must end with the same value.
class TraceHash {
 public:
  void add(uint64_t word) { value_ = mix(value_ ^ word) + count_++; }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0x5765697220736965ull;
  uint64_t count_ = 0;
};

}  // namespace weir::testing
