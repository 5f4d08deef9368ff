#include "runtime/timer_queue.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace weir::runtime {

TimerQueue::TimerQueue(int64_t now_ns) : tick_(static_cast<uint64_t>(now_ns / kMillisecond)) {}

TimerId TimerQueue::add(int64_t now_ns, int64_t delay_ns, Task task) {
  const int64_t delay = std::clamp<int64_t>(delay_ns, 0, kNever - now_ns - kMillisecond);
  const uint32_t index = take_node();
  Node& node = nodes_[index];
  node.task = std::move(task);
  if (delay < kFineDelayNs) {
    node.deadline = now_ns + delay;
    heap_push(index);
  } else {
    node.deadline = (now_ns + delay + kMillisecond - 1) / kMillisecond;
    place_in_wheel(index);
  }
  return TimerId{static_cast<uint64_t>(node.generation) << 32 | index};
}

bool TimerQueue::cancel(TimerId timer) {
  const auto index = static_cast<uint32_t>(timer.value);
  if (!timer || index >= nodes_.size()) return false;
  Node& node = nodes_[index];
  if (node.list == kFree || node.generation != timer.value >> 32) return false;
  if (node.list == kInHeap) {
    heap_remove(node.heap_position);
  } else {
    unlink(index);
  }
  const Task task = std::move(node.task);  // destroyed last: its captures may call back into this queue
  free_node(index);
  return true;
}

int64_t TimerQueue::next_ns() const {
  if (lists_[kDueList].head != kNil) return 0;
  int64_t next = heap_.empty() ? kNever : nodes_[heap_[0]].deadline;
  const Expiry expiry = next_expiry();
  if (expiry.list != kNil) next = std::min(next, static_cast<int64_t>(expiry.tick) * kMillisecond);
  return next;
}

void TimerQueue::advance(int64_t now_ns) {
  while (!heap_.empty() && nodes_[heap_[0]].deadline <= now_ns) {
    const uint32_t index = heap_[0];
    heap_remove(0);
    link(kDueList, index);
  }
  const auto now_tick = static_cast<uint64_t>(now_ns / kMillisecond);
  for (Expiry expiry = next_expiry(); expiry.list != kNil && expiry.tick <= now_tick; expiry = next_expiry()) {
    tick_ = expiry.tick;
    for (uint32_t index = lists_[expiry.list].head; index != kNil; index = lists_[expiry.list].head) {
      unlink(index);
      place_in_wheel(index);  // a finer level, or the due list
    }
  }
  tick_ = std::max(tick_, now_tick);
}

bool TimerQueue::take_due(Task& task) {
  const uint32_t index = lists_[kDueList].head;
  if (index == kNil) return false;
  unlink(index);
  task = std::move(nodes_[index].task);
  free_node(index);
  return true;
}

uint32_t TimerQueue::take_node() {
  ++live_;
  if (free_ == kNil) {
    nodes_.emplace_back();
    return static_cast<uint32_t>(nodes_.size() - 1);
  }
  const uint32_t index = free_;
  free_ = nodes_[index].next;
  return index;
}

void TimerQueue::free_node(uint32_t index) {
  Node& node = nodes_[index];
  node.list = kFree;
  if (++node.generation == 0) node.generation = 1;  // a TimerId of 0 means none
  node.next = free_;
  free_ = index;
  --live_;
}

void TimerQueue::link(uint32_t list, uint32_t index) {
  List& l = lists_[list];
  Node& node = nodes_[index];
  node.list = list;
  node.previous = l.tail;
  node.next = kNil;
  (l.tail == kNil ? l.head : nodes_[l.tail].next) = index;
  l.tail = index;
  if (list < kDueList) occupied_[list / kSlots] |= uint64_t{1} << (list % kSlots);
}

void TimerQueue::unlink(uint32_t index) {
  const Node& node = nodes_[index];
  List& l = lists_[node.list];
  (node.previous == kNil ? l.head : nodes_[node.previous].next) = node.next;
  (node.next == kNil ? l.tail : nodes_[node.next].previous) = node.previous;
  if (l.head == kNil && node.list < kDueList) {
    occupied_[node.list / kSlots] &= ~(uint64_t{1} << (node.list % kSlots));
  }
}

void TimerQueue::place_in_wheel(uint32_t index) {
  const auto deadline = static_cast<uint64_t>(nodes_[index].deadline);
  if (deadline <= tick_) return link(kDueList, index);
  // The level is where the deadline and the present first differ, read as digits of base 64. What is further
  // away than the wheel reaches waits in the top level and is placed again from there.
  constexpr uint64_t kReach = (uint64_t{1} << (6 * kLevels)) - 1;
  const uint64_t reachable = std::min(deadline, tick_ + kReach / 2);
  const uint64_t difference = std::min((tick_ ^ reachable) | (kSlots - 1), kReach);
  const unsigned level = (63 - static_cast<unsigned>(std::countl_zero(difference))) / 6;
  const uint64_t slot = (reachable >> (6 * level)) % kSlots;
  link(level * kSlots + static_cast<uint32_t>(slot), index);
}

TimerQueue::Expiry TimerQueue::next_expiry() const {
  // A finer level always expires before a coarser one, because its timers share all higher digits with the
  // present.
  for (unsigned level = 0; level < kLevels; ++level) {
    if (occupied_[level] == 0) continue;
    const unsigned shift = 6 * level;
    const auto now_slot = static_cast<int>((tick_ >> shift) % kSlots);
    const int distance = std::countr_zero(std::rotr(occupied_[level], now_slot));
    const auto slot = static_cast<uint64_t>((now_slot + distance) % static_cast<int>(kSlots));
    const uint64_t range = uint64_t{kSlots} << shift;
    uint64_t tick = (tick_ & ~(range - 1)) + (slot << shift);
    if (tick <= tick_) tick += range;  // only the top level wraps
    return {tick, level * kSlots + static_cast<uint32_t>(slot)};
  }
  return {};
}

void TimerQueue::heap_set(uint32_t position, uint32_t index) {
  heap_[position] = index;
  nodes_[index].heap_position = position;
}

void TimerQueue::heap_push(uint32_t index) {
  nodes_[index].list = kInHeap;
  heap_.push_back(index);
  nodes_[index].heap_position = static_cast<uint32_t>(heap_.size() - 1);
  heap_sift(nodes_[index].heap_position);
}

void TimerQueue::heap_remove(uint32_t position) {
  const uint32_t last = heap_.back();
  heap_.pop_back();
  if (position == heap_.size()) return;
  heap_set(position, last);
  heap_sift(position);
}

void TimerQueue::heap_sift(uint32_t position) {
  const uint32_t index = heap_[position];
  const int64_t deadline = nodes_[index].deadline;
  while (position > 0 && nodes_[heap_[(position - 1) / 2]].deadline > deadline) {
    heap_set(position, heap_[(position - 1) / 2]);
    position = (position - 1) / 2;
  }
  for (;;) {
    uint32_t child = 2 * position + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && nodes_[heap_[child + 1]].deadline < nodes_[heap_[child]].deadline) ++child;
    if (nodes_[heap_[child]].deadline >= deadline) break;
    heap_set(position, heap_[child]);
    position = child;
  }
  heap_set(position, index);
}

}  // namespace weir::runtime
