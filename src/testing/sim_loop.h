// The event loop and the pool of a simulated process.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "runtime/loop.h"
#include "testing/scheduler.h"

namespace weir::testing {

class SimNetwork;

// The owner of a loop.
struct SimPlace {
  const runtime::Clock& clock;
  uint32_t host = 0;     // a machine of the network, over all lives of its processes
  uint32_t process = 0;  // one life
  unsigned index = 0;    // of the loop in its process
};

// Runs in turns, as a thread does: the tasks that are ready when a turn starts run in the order in which they became ready,
// each as an event of the scheduler (so that other loops run in between). Then the tasks of at_turn_end run. Between events,
// when no simulated code runs, in_loop() is true for every loop: tests and constructors may use the loop directly.
class SimLoop final : public runtime::Loop {
 public:
  // One task in `late_ends` is destroyed a moment after it ran; 0: none.
  SimLoop(Scheduler& scheduler, SimNetwork& network, uint64_t seed, SimPlace place, uint64_t late_ends);
  ~SimLoop() override;

  void post(runtime::Task task) override;
  const runtime::Clock& clock() const override { return place_.clock; }
  runtime::Random& random() override { return random_; }
  unsigned index() const override { return place_.index; }
  bool in_loop() const override;
  bool may_touch() const override { return in_loop() || dead_; }
  runtime::TimerId schedule_after(int64_t delay_ns, runtime::Task task) override;
  bool cancel(runtime::TimerId timer) override;
  void at_turn_end(runtime::Task task) override;
  Result<std::unique_ptr<runtime::Listener>> listen(const runtime::Endpoint& address, runtime::AcceptCallback on_accept) override;
  void connect(const runtime::Endpoint& address, runtime::ConnectCallback done) override;

  uint32_t process() const { return place_.process; }
  uint32_t host() const { return place_.host; }
  uint32_t lane() const { return lane_; }
  bool dead() const { return dead_; }
  // Ends the loop: destroys all queued tasks without running them, and all tasks that come later.
  void shut_down();

 private:
  struct Timer {
    runtime::Task task;
    Scheduler::Key due;
  };
  void wake();
  void step();
  void schedule_step(int64_t delay_ns);
  void run_first(std::deque<runtime::Task>& tasks);

  Scheduler& scheduler_;
  SimNetwork& network_;
  SeededRandom random_;
  const SimPlace place_;
  const uint64_t late_ends_;
  uint32_t lane_;
  bool dead_ = false;
  bool step_scheduled_ = false;
  std::deque<runtime::Task> ready_;
  size_t left_in_turn_ = 0;  // of ready_; the other tasks wait for the next turn
  bool in_turn_ = false;
  runtime::Task ended_;  // a task that has run and is not destroyed yet
  std::deque<runtime::Task> turn_end_;
  std::map<uint64_t, Timer> timers_;
  uint64_t last_timer_ = 0;
};

// Runs each piece of work after a seeded delay, inline in one event, on no loop (in_loop() is false everywhere).
class SimPool final : public runtime::Pool {
 public:
  struct Options {
    int64_t min_delay_ns = 2'000;
    int64_t max_delay_ns = 300'000;
    int64_t slow_delay_ns = 20'000'000;  // one in 64
  };
  SimPool(Scheduler& scheduler, Options options) : scheduler_(scheduler), options_(options), lane_(scheduler.new_lane()) {}
  ~SimPool() override;

  void submit(runtime::Task work, runtime::Executor& reply_to, runtime::Task done, uint64_t ordering_key = 0) override;
  void shut_down();

 private:
  struct Job {
    runtime::Task work;
    runtime::Executor* reply_to;
    runtime::Task done;
  };
  void start(Job job, uint64_t ordering_key);
  int64_t delay_ns();

  Scheduler& scheduler_;
  Options options_;
  uint32_t lane_;
  bool dead_ = false;
  std::map<uint64_t, std::deque<Job>> waiting_;  // behind a job of the same key that is under way
};

}  // namespace weir::testing
