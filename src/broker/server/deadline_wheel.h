// Coarse deadlines for many objects without a timer each. An object sits in the bucket of a tick. When the tick comes the wheel
// takes it out. Its owner checks whether it is really due, and places it again if not. So a later deadline costs a store to a
// field of the object, and nothing here. Loop thread only.
#pragma once

#include <array>
#include <cstdint>

namespace weir::broker {

class DeadlineWheel {
 public:
  static constexpr int64_t kBuckets = 128;

  // Base of the objects. Not copied or moved while placed.
  struct Entry {
    Entry() = default;
    Entry(const Entry&) = delete;
    Entry* previous = nullptr;
    Entry* next = nullptr;
    int64_t due_tick = 0;
    bool placed() const { return previous != nullptr; }
  };

  DeadlineWheel() {
    for (Entry& head : heads_) head.previous = head.next = &head;
  }

  // Due at `tick`, or earlier if that is further away than the wheel reaches (the owner then places it again).
  void place(Entry& entry, int64_t tick) {
    if (entry.placed()) remove(entry);
    if (tick <= now_) tick = now_ + 1;
    if (tick > now_ + kBuckets - 1) tick = now_ + kBuckets - 1;
    entry.due_tick = tick;
    Entry& head = heads_[static_cast<size_t>(tick % kBuckets)];
    entry.previous = head.previous;
    entry.next = &head;
    head.previous->next = &entry;
    head.previous = &entry;
  }
  void remove(Entry& entry) {
    entry.previous->next = entry.next;
    entry.next->previous = entry.previous;
    entry.previous = entry.next = nullptr;
  }

  // Moves time forward and calls `on_due(entry)` for each entry whose tick has come, with the entry taken out.
  template <typename OnDue>
  void advance(int64_t tick, OnDue on_due) {
    if (tick > now_ + kBuckets) now_ = tick - kBuckets;  // every bucket is looked at once
    while (now_ < tick) {
      ++now_;
      Entry& head = heads_[static_cast<size_t>(now_ % kBuckets)];
      while (head.next != &head) {
        Entry& entry = *head.next;
        remove(entry);
        on_due(entry);
      }
    }
  }
  int64_t now() const { return now_; }

 private:
  std::array<Entry, kBuckets> heads_;
  int64_t now_ = 0;
};

}  // namespace weir::broker
