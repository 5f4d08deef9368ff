#include "runtime/epoll_loop.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/check.h"
#include "base/log.h"
#include "runtime/thread_setup.h"

namespace weir::runtime {
namespace {
constexpr WatchId kWakeWatch = 0;
constexpr unsigned long kTimerSlackNs = 5'000;
}  // namespace

EpollLoop::EpollLoop(unsigned index, const Clock& clock, Pool& pool, BoundAddresses& addresses)
    : index_(index),
      clock_(clock),
      pool_(pool),
      addresses_(addresses),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      timers_(clock.monotonic_ns()) {
  WEIR_CHECK(epoll_ && wake_);
  // Edge-triggered: every write is an event of its own, the counter is never read.
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = kWakeWatch;
  WEIR_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) == 0);
}

EpollLoop::~EpollLoop() { discard_tasks(); }

void EpollLoop::check_thread() const { WEIR_CHECK(may_touch()); }

void EpollLoop::run() {
  thread_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  set_timer_slack(kTimerSlackNs);
  while (!stop_requested_.load(std::memory_order_relaxed)) turn();
  for (Task& task : exit_tasks_) task();
  exit_tasks_.clear();
}

void EpollLoop::request_stop() {
  post([this] { stop_requested_.store(true, std::memory_order_relaxed); });
}

// Destroying a task may post another one; ends when nothing is left. Later posts are destroyed at once.
void EpollLoop::discard_tasks() {
  // Only now: other loops may still have run when this one left its last turn, and the tasks they posted wait in the inbox.
  thread_.store(std::thread::id{}, std::memory_order_relaxed);
  closed_.store(true, std::memory_order_relaxed);
  timers_.advance(TimerQueue::kNever - kSecond);
  for (bool found = true; found;) {
    found = false;
    while (TaskInbox::Node* node = inbox_.take_all()) {
      TaskInbox::destroy(node);
      found = true;
    }
    std::vector<Task> dropped = std::exchange(local_tasks_, {});
    for (Task& task : std::exchange(turn_end_tasks_, {})) dropped.push_back(std::move(task));
    for (Task task; timers_.take_due(task);) dropped.push_back(std::move(task));
    found = found || !dropped.empty();
  }
}

void EpollLoop::post(Task task) {
  if (closed_.load(std::memory_order_relaxed)) return;
  if (in_loop()) {
    local_tasks_.push_back(std::move(task));
    return;
  }
  inbox_.push(std::move(task));
  if (asleep_.load(std::memory_order_seq_cst) && asleep_.exchange(false, std::memory_order_seq_cst)) {
    WEIR_CHECK(::eventfd_write(wake_.get(), 1) == 0);
  }
}

TimerId EpollLoop::schedule_after(int64_t delay_ns, Task task) {
  check_thread();
  return timers_.add(clock_.monotonic_ns(), delay_ns, std::move(task));
}

bool EpollLoop::cancel(TimerId timer) {
  check_thread();
  return timers_.cancel(timer);
}

void EpollLoop::at_turn_end(Task task) {
  check_thread();
  turn_end_tasks_.push_back(std::move(task));
}

WatchId EpollLoop::watch(int fd, uint32_t epoll_events, EventTarget& target) {
  check_thread();
  if (free_watches_.empty()) {
    free_watches_.push_back(static_cast<uint32_t>(watches_.size()));
    watches_.emplace_back();
  }
  const uint32_t slot = free_watches_.back();
  free_watches_.pop_back();
  watches_[slot].target = &target;
  const WatchId id = static_cast<WatchId>(watches_[slot].generation) << 32 | slot;
  epoll_event event{};
  event.events = epoll_events;
  event.data.u64 = id;
  // Fails only if the kernel is out of memory or the descriptor is not ours.
  WEIR_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
  return id;
}

void EpollLoop::unwatch(WatchId watch) {
  check_thread();
  WEIR_CHECK(watching(watch));
  WatchSlot& slot = watches_[static_cast<uint32_t>(watch)];
  slot.target = nullptr;
  if (++slot.generation == 0) slot.generation = 1;
  free_watches_.push_back(static_cast<uint32_t>(watch));
}

bool EpollLoop::watching(WatchId watch) const {
  const auto slot = static_cast<uint32_t>(watch);
  return slot < watches_.size() && watches_[slot].target != nullptr && watches_[slot].generation == watch >> 32;
}

void EpollLoop::change_events(int fd, WatchId watch, uint32_t epoll_events) {
  epoll_event event{};
  event.events = epoll_events;
  event.data.u64 = watch;
  WEIR_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0);
}

void EpollLoop::forget(int fd) { WEIR_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr) == 0); }

void EpollLoop::deliver_again(WatchId watch, uint32_t epoll_events) {
  check_thread();
  deliveries_.emplace_back(watch, epoll_events);
}

void EpollLoop::turn() {
  std::array<epoll_event, kEventsPerTurn> events;
  const int count = wait_for_events(events.data());
  for (int i = 0; i < count; ++i) dispatch(events[i].data.u64, events[i].events);
  run_due_timers();
  for (int round = 0; round < kTaskRoundsPerTurn; ++round) {
    const bool delivered = run_deliveries();
    if (!run_posted() && !delivered) break;
  }
  run_turn_end();
}

int EpollLoop::wait_for_events(epoll_event* events) {
  int64_t nap = 0;
  if (!has_local_work()) {
    // A producer pushes, then looks at asleep_; we set asleep_, then look for pushes: one of the two sees the
    // other.
    asleep_.store(true, std::memory_order_seq_cst);
    if (inbox_.empty()) nap = nap_ns();
    if (nap == 0) asleep_.store(false, std::memory_order_relaxed);
  }
  int count = -1;
  const int64_t asleep_since = nap != 0 ? clock_.monotonic_ns() : 0;
  if (has_pwait2_ && nap > 0 && nap != TimerQueue::kNever) {
    const timespec timeout{nap / kSecond, nap % kSecond};
    count = ::epoll_pwait2(epoll_.get(), events, kEventsPerTurn, &timeout, nullptr);
    // Old kernels and strict seccomp filters: from now on in milliseconds, rounded up.
    if (count < 0 && (errno == ENOSYS || errno == EPERM)) has_pwait2_ = false;
  } else {
    const int64_t ms = nap == TimerQueue::kNever ? -1 : std::min<int64_t>((nap + kMillisecond - 1) / kMillisecond, 3'600'000);
    count = ::epoll_wait(epoll_.get(), events, kEventsPerTurn, static_cast<int>(ms));
  }
  asleep_.store(false, std::memory_order_relaxed);
  if (nap != 0) {
    const int64_t slept = clock_.monotonic_ns() - asleep_since;
    idle_ns_.store(idle_ns_.load(std::memory_order_relaxed) + slept, std::memory_order_relaxed);
  }
  WEIR_CHECK(count >= 0 || errno == EINTR || !has_pwait2_);
  return count;
}

int64_t EpollLoop::nap_ns() const {
  const int64_t next = timers_.next_ns();
  if (next == TimerQueue::kNever) return next;
  return std::max<int64_t>(0, next - clock_.monotonic_ns());
}

void EpollLoop::dispatch(WatchId watch, uint32_t epoll_events) {
  if (watching(watch)) watches_[static_cast<uint32_t>(watch)].target->on_events(epoll_events);
}

void EpollLoop::run_due_timers() {
  if (timers_.size() == 0) return;
  timers_.advance(clock_.monotonic_ns());
  for (Task task; timers_.take_due(task);) task();
}

bool EpollLoop::run_posted() {
  TaskInbox::Node* node = inbox_.take_all();
  if (node == nullptr && local_tasks_.empty()) return false;
  while (node != nullptr) {
    node->task();
    delete std::exchange(node, node->next);
  }
  running_tasks_.swap(local_tasks_);
  for (Task& task : running_tasks_) {
    task();
    task = nullptr;  // its objects go now, not at the end of the round
  }
  running_tasks_.clear();
  return true;
}

bool EpollLoop::run_deliveries() {
  if (deliveries_.empty()) return false;
  running_deliveries_.swap(deliveries_);
  for (const auto& [watch, epoll_events] : running_deliveries_) dispatch(watch, epoll_events);
  running_deliveries_.clear();
  return true;
}

void EpollLoop::run_turn_end() {
  while (!turn_end_tasks_.empty()) {
    running_turn_end_.swap(turn_end_tasks_);
    for (Task& task : running_turn_end_) {
      task();
      task = nullptr;
    }
    running_turn_end_.clear();
  }
}

}  // namespace weir::runtime
