// The timers of one loop.
//
// Delays from 5 ms on go to a hierarchical wheel with 1 ms ticks: schedule and cancel are O(1), and a timer
// far away is moved to a finer level at most five times. Shorter delays go to a small heap ordered by
// nanoseconds. Nodes live in one slab that is reused, so that a steady state allocates nothing.
//
// Not thread-safe. No task runs before its delay is over.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <vector>

#include "runtime/loop.h"

namespace weir::runtime {

class TimerQueue {
 public:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  static constexpr int64_t kFineDelayNs = 5 * kMillisecond;

  explicit TimerQueue(int64_t now_ns);

  TimerId add(int64_t now_ns, int64_t delay_ns, Task task);
  // True if the task will not run because of this call; it is destroyed before this returns.
  bool cancel(TimerId timer);
  // When `advance` should be called next; for coarse timers this may be a moment at which nothing is due yet.
  int64_t next_ns() const;
  // Marks the timers that are due. take_due then hands the tasks out one by one: a task may cancel one that follows it.
  void advance(int64_t now_ns);
  bool take_due(Task& task);
  size_t size() const { return live_; }

 private:
  static constexpr unsigned kLevels = 6;  // 64^6 ms: two years
  static constexpr unsigned kSlots = 64;
  static constexpr uint32_t kNil = UINT32_MAX;
  // Values of Node::list beside level * kSlots + slot.
  static constexpr uint32_t kDueList = kLevels * kSlots;
  static constexpr uint32_t kInHeap = kDueList + 1;
  static constexpr uint32_t kFree = kDueList + 2;

  struct Node {
    Task task;
    int64_t deadline = 0;  // a tick in the wheel, nanoseconds in the heap
    uint32_t previous = kNil;
    uint32_t next = kNil;
    uint32_t list = kFree;
    uint32_t heap_position = 0;
    uint32_t generation = 1;
  };
  struct List {
    uint32_t head = kNil;
    uint32_t tail = kNil;
  };
  struct Expiry {
    uint64_t tick = 0;
    uint32_t list = kNil;  // kNil: nothing is waiting
  };

  uint32_t take_node();
  void free_node(uint32_t index);
  void link(uint32_t list, uint32_t index);
  void unlink(uint32_t index);
  void place_in_wheel(uint32_t index);
  Expiry next_expiry() const;
  void heap_push(uint32_t index);
  void heap_remove(uint32_t position);
  void heap_sift(uint32_t position);
  void heap_set(uint32_t position, uint32_t index);

  std::vector<Node> nodes_;
  uint32_t free_ = kNil;
  size_t live_ = 0;
  uint64_t tick_;  // everything in the wheel is due after this tick
  std::array<List, kDueList + 1> lists_;
  std::array<uint64_t, kLevels> occupied_{};  // a bit for each slot that is not empty
  std::vector<uint32_t> heap_;
};

}  // namespace weir::runtime
