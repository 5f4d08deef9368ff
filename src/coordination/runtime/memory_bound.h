// The estimated memory of what all coordinators of one kind hold, and its bound. Past the bound nothing new is taken, and what is
// known goes on.
//
// MemoryBound is thread-safe. A MemoryCharge belongs to one coordinator and gives back its bytes.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>

namespace weir::coordination {

class MemoryBound {
 public:
  explicit MemoryBound(int64_t limit_bytes = std::numeric_limits<int64_t>::max()) : limit_bytes_(limit_bytes) {}

  void add(int64_t bytes) { used_bytes_.fetch_add(bytes, std::memory_order_relaxed); }
  int64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }
  int64_t limit_bytes() const { return limit_bytes_; }
  // Notes a refusal. Returns true for one caller per minute, which tells the log.
  bool refused(int64_t now_ms) {
    last_refusal_ms_.store(now_ms, std::memory_order_relaxed);
    int64_t next = next_warning_ms_.load(std::memory_order_relaxed);
    return now_ms >= next && next_warning_ms_.compare_exchange_strong(next, now_ms + kMinuteMs, std::memory_order_relaxed);
  }
  // Monotonic time of the last refusal.
  int64_t last_refusal_ms() const { return last_refusal_ms_.load(std::memory_order_relaxed); }
  bool refused_lately(int64_t now_ms) const { return now_ms - last_refusal_ms() < kMinuteMs; }  // within the last minute

 protected:
  // Whether so many eighths of the bound are used. What one client can make without end is refused first.
  bool full_to(int64_t eighths) const { return used_bytes() >= limit_bytes_ / 8 * eighths; }

 private:
  static constexpr int64_t kMinuteMs = 60'000;

  const int64_t limit_bytes_;
  std::atomic<int64_t> used_bytes_{0};
  std::atomic<int64_t> next_warning_ms_{std::numeric_limits<int64_t>::min()};
  std::atomic<int64_t> last_refusal_ms_{std::numeric_limits<int64_t>::min() / 2};
};

class MemoryCharge {
 public:
  explicit MemoryCharge(MemoryBound& memory) : memory_(memory) {}
  ~MemoryCharge() { memory_.add(-bytes_); }
  MemoryCharge(const MemoryCharge&) = delete;

  void add(int64_t bytes) {
    bytes_ += bytes;
    memory_.add(bytes);
  }
  int64_t bytes() const { return bytes_; }

 private:
  MemoryBound& memory_;
  int64_t bytes_ = 0;
};

}  // namespace weir::coordination
