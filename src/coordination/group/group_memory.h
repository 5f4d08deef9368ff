// The estimated memory of the groups of all coordinators of a process, and its bound. Past the bound nothing new is taken. Known
// members, groups and offsets go on. Things that one client can make without end are bounded first, so present clients find room:
// offsets, then groups, then members of existing groups.
//
// GroupMemory is thread-safe. A MemoryCharge belongs to one coordinator and gives back its bytes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace weir::coordination {

class GroupMemory {
 public:
  explicit GroupMemory(int64_t limit_bytes = std::numeric_limits<int64_t>::max()) : limit_bytes_(limit_bytes) {}

  void add(int64_t bytes) { used_bytes_.fetch_add(bytes, std::memory_order_relaxed); }
  int64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }
  int64_t limit_bytes() const { return limit_bytes_; }
  enum class For { kOffset, kGroup, kMember };
  bool full(For what) const {
    constexpr int64_t kEighths[] = {6, 7, 8};
    return used_bytes() >= limit_bytes_ / 8 * kEighths[static_cast<size_t>(what)];
  }
  // Notes a refusal. Returns true for one caller per minute, which tells the log.
  bool refused(int64_t now_ms) {
    constexpr int64_t kMinuteMs = 60'000;
    last_refusal_ms_.store(now_ms, std::memory_order_relaxed);
    int64_t next = next_warning_ms_.load(std::memory_order_relaxed);
    return now_ms >= next && next_warning_ms_.compare_exchange_strong(next, now_ms + kMinuteMs, std::memory_order_relaxed);
  }
  // Monotonic time of the last refusal.
  int64_t last_refusal_ms() const { return last_refusal_ms_.load(std::memory_order_relaxed); }

 private:
  const int64_t limit_bytes_;
  std::atomic<int64_t> used_bytes_{0};
  std::atomic<int64_t> next_warning_ms_{std::numeric_limits<int64_t>::min()};
  std::atomic<int64_t> last_refusal_ms_{std::numeric_limits<int64_t>::min() / 2};
};

class MemoryCharge {
 public:
  explicit MemoryCharge(GroupMemory& memory) : memory_(memory) {}
  ~MemoryCharge() { memory_.add(-bytes_); }
  MemoryCharge(const MemoryCharge&) = delete;

  void add(int64_t bytes) {
    bytes_ += bytes;
    memory_.add(bytes);
  }
  int64_t bytes() const { return bytes_; }

 private:
  GroupMemory& memory_;
  int64_t bytes_ = 0;
};

}  // namespace weir::coordination
