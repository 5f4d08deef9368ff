// Lets a few lines through per interval and counts the rest: for log lines that a client could cause without end.
#pragma once

#include <cstdint>
#include <utility>

namespace weir {

class RateLimit {
 public:
  explicit RateLimit(int lines = 5) : lines_max_(lines) {}

  // True if the line may be logged; `suppressed` are those dropped before it.
  bool admit(int64_t now_ms, uint64_t& suppressed) {
    if (now_ms - interval_begin_ms_ >= kIntervalMs) {
      interval_begin_ms_ = now_ms;
      lines_ = 0;
    }
    if (lines_ == lines_max_) {
      ++suppressed_;
      return false;
    }
    ++lines_;
    suppressed = std::exchange(suppressed_, 0);
    return true;
  }

 private:
  static constexpr int64_t kIntervalMs = 10'000;
  const int lines_max_;
  int64_t interval_begin_ms_ = -kIntervalMs;
  int lines_ = 0;
  uint64_t suppressed_ = 0;
};

}  // namespace weir
