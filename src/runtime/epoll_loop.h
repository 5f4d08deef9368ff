// The production Loop: one thread around one epoll instance.
//
// A turn is: wait, socket and other descriptor events, due timers, posted tasks, tasks registered with
// at_turn_end. An idle loop sleeps in the kernel without a timeout; nothing wakes it periodically.
//
// Lifecycle: construct; listen, watch and post as wanted; run() on the loop's own thread until
// request_stop(); discard_tasks() once every thread that may post is gone. Sockets, listeners and watches may
// be destroyed on the loop's thread while it runs, on any one thread before and after.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/bound_addresses.h"
#include "runtime/loop.h"
#include "runtime/system_clock.h"
#include "runtime/task_inbox.h"
#include "runtime/timer_queue.h"
#include "runtime/unique_fd.h"

namespace weir::runtime {

// Receives the events of one watched descriptor. May unwatch itself or any other target while it is called.
class EventTarget {
 public:
  virtual void on_events(uint32_t epoll_events) = 0;

 protected:
  ~EventTarget() = default;
};

// Names a watched descriptor; never reused, so that events of a closed descriptor reach nobody. 0 is none.
using WatchId = uint64_t;

class EpollLoop final : public Loop {
 public:
  // The pool resolves host names. What is passed in outlives the loop.
  EpollLoop(unsigned index, const Clock& clock, Pool& pool, BoundAddresses& addresses);
  ~EpollLoop() override;

  void run();
  void request_stop();  // thread-safe; the turn that is running ends first
  void discard_tasks();
  // Runs on the loop's thread when it has left its last turn.
  void at_exit(Task task) { exit_tasks_.push_back(std::move(task)); }

  void post(Task task) override;
  const Clock& clock() const override { return clock_; }
  Random& random() override { return random_; }
  unsigned index() const override { return index_; }
  bool in_loop() const override { return thread_.load(std::memory_order_relaxed) == std::this_thread::get_id(); }
  bool may_touch() const override { return in_loop() || thread_.load(std::memory_order_relaxed) == std::thread::id{}; }
  int64_t idle_ns() const override { return idle_ns_.load(std::memory_order_relaxed); }
  TimerId schedule_after(int64_t delay_ns, Task task) override;
  bool cancel(TimerId timer) override;
  void at_turn_end(Task task) override;
  Result<std::unique_ptr<Listener>> listen(const Endpoint& address, AcceptCallback on_accept) override;
  void connect(const Endpoint& address, ConnectCallback done) override;

  // For the parts of the runtime that live on this loop. The target is called until unwatch; closing the
  // descriptor ends its events as well, but unwatch is due all the same.
  WatchId watch(int fd, uint32_t epoll_events, EventTarget& target);
  void unwatch(WatchId watch);
  bool watching(WatchId watch) const;
  void change_events(int fd, WatchId watch, uint32_t epoll_events);
  // Drops the registration of a descriptor that stays open.
  void forget(int fd);
  // Delivers `epoll_events` once more in this turn, after the events that are being handled.
  void deliver_again(WatchId watch, uint32_t epoll_events);
  Pool& pool() { return pool_; }

 private:
  struct WatchSlot {
    EventTarget* target = nullptr;
    uint32_t generation = 1;
  };
  static constexpr int kEventsPerTurn = 256;
  // Bound of the rounds in which tasks posted by tasks run before the sockets are looked at again.
  static constexpr int kTaskRoundsPerTurn = 8;

  void check_thread() const;
  void turn();
  int wait_for_events(epoll_event* events);
  int64_t nap_ns() const;
  void dispatch(WatchId watch, uint32_t epoll_events);
  void run_due_timers();
  bool run_posted();
  bool run_deliveries();
  void run_turn_end();
  bool has_local_work() const { return !local_tasks_.empty() || !deliveries_.empty() || !turn_end_tasks_.empty(); }

  const unsigned index_;
  const Clock& clock_;
  Pool& pool_;
  BoundAddresses& addresses_;
  UniqueFd epoll_;
  UniqueFd wake_;
  SystemRandom random_;

  // Any thread.
  TaskInbox inbox_;
  std::atomic<bool> asleep_{false};  // set before the last look into the inbox, cleared by the thread that wakes the loop
  std::atomic<bool> stop_requested_{false};
  std::atomic<bool> closed_{false};
  std::atomic<std::thread::id> thread_{};
  std::atomic<int64_t> idle_ns_{0};  // written by the loop's thread

  // The loop's thread only.
  TimerQueue timers_;
  std::vector<WatchSlot> watches_;
  std::vector<uint32_t> free_watches_;
  std::vector<Task> local_tasks_, running_tasks_;
  std::vector<Task> turn_end_tasks_, running_turn_end_;
  std::vector<std::pair<WatchId, uint32_t>> deliveries_, running_deliveries_;
  std::vector<Task> exit_tasks_;
  bool has_pwait2_ = true;
};

}  // namespace weir::runtime
