#include "runtime/system_clock.h"

#include <sys/random.h>
#include <time.h>

#include <bit>
#include <cerrno>

#include "base/check.h"

namespace weir::runtime {
namespace {
int64_t read_ns(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}
}  // namespace

int64_t SystemClock::monotonic_ns() const { return read_ns(CLOCK_MONOTONIC); }
int64_t SystemClock::wall_ms() const { return read_ns(CLOCK_REALTIME) / 1'000'000; }

SystemRandom::SystemRandom() {
  ssize_t n = 0;
  do {
    n = ::getrandom(state_.data(), sizeof state_, 0);
  } while (n < 0 && errno == EINTR);
  WEIR_CHECK(n == static_cast<ssize_t>(sizeof state_));
}

uint64_t SystemRandom::next() {
  auto& s = state_;
  const uint64_t result = std::rotl(s[0] + s[3], 23) + s[0];
  const uint64_t shifted = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= shifted;
  s[3] = std::rotl(s[3], 45);
  return result;
}

}  // namespace weir::runtime
