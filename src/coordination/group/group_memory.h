// What the groups of all coordinators of a process hold in memory, estimated, and the bound on it. Past the bound nothing
// new is taken: members, groups and offsets that are known already go on.
//
// GroupMemory is thread-safe; a MemoryCharge belongs to one coordinator and gives back what it holds.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>

namespace weir::coordination {

class GroupMemory {
 public:
  explicit GroupMemory(int64_t limit_bytes = std::numeric_limits<int64_t>::max()) : limit_bytes_(limit_bytes) {}

  void add(int64_t bytes) { used_bytes_.fetch_add(bytes, std::memory_order_relaxed); }
  int64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }
  int64_t limit_bytes() const { return limit_bytes_; }
  bool full() const { return used_bytes() >= limit_bytes_; }

 private:
  const int64_t limit_bytes_;
  std::atomic<int64_t> used_bytes_{0};
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
