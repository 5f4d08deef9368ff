#include "testing/sim_loop.h"

#include <utility>

#include "base/check.h"
#include "testing/sim_network.h"

namespace weir::testing {

SimLoop::SimLoop(Scheduler& scheduler, SimNetwork& network, uint64_t seed, SimPlace place, uint64_t late_ends)
    : scheduler_(scheduler),
      network_(network),
      random_(seed, 1000 + uint64_t{place.process} * 1000 + place.index),
      place_(place),
      late_ends_(late_ends),
      lane_(scheduler.new_lane()) {}

SimLoop::~SimLoop() { shut_down(); }

bool SimLoop::in_loop() const { return scheduler_.running_lane() == 0 || scheduler_.running_lane() == lane_; }

void SimLoop::post(runtime::Task task) {
  if (dead_) return;
  ready_.push_back(std::move(task));
  wake();
}

void SimLoop::wake() {
  // A turn under way goes on by itself.
  if (step_scheduled_ || in_turn_) return;
  SeededRandom& random = scheduler_.random();
  // Now and then the machine runs something else first.
  const int64_t delay = random.one_in(256) ? random.below(4'000'000) : random.between(500, 30'000);
  schedule_step(delay);
}

void SimLoop::schedule_step(int64_t delay_ns) {
  step_scheduled_ = true;
  scheduler_.after(delay_ns, EventKind::kLoopStep, lane_, [this] { step(); });
}

void SimLoop::step() {
  step_scheduled_ = false;
  ended_ = nullptr;
  if (!in_turn_) {
    in_turn_ = true;
    left_in_turn_ = ready_.size();
  }
  if (left_in_turn_ > 0) {
    --left_in_turn_;
    run_first(ready_);
  } else if (!turn_end_.empty()) {
    run_first(turn_end_);
  }
  if (dead_) return;
  // Other loops may do the work that the task gave them before this loop destroys the task.
  if (ended_) return schedule_step(static_cast<int64_t>(scheduler_.random().between(200, 60'000)));
  if (left_in_turn_ > 0 || !turn_end_.empty()) {
    schedule_step(static_cast<int64_t>(scheduler_.random().between(200, 4'000)));
    return;
  }
  in_turn_ = false;
  if (!ready_.empty()) wake();
}

void SimLoop::run_first(std::deque<runtime::Task>& tasks) {
  runtime::Task task = std::move(tasks.front());
  tasks.pop_front();
  task();
  if (!dead_ && scheduler_.random().one_in(late_ends_)) ended_ = std::move(task);
}

runtime::TimerId SimLoop::schedule_after(int64_t delay_ns, runtime::Task task) {
  WEIR_CHECK(in_loop());
  const uint64_t id = ++last_timer_;
  if (dead_) return {id};
  const int64_t resolution_ns = delay_ns < 5 * runtime::kMillisecond ? 60'000 : runtime::kMillisecond;
  const int64_t late_ns = static_cast<int64_t>(scheduler_.random().below(static_cast<uint64_t>(resolution_ns)));
  const auto due = scheduler_.after(std::max<int64_t>(delay_ns, 0) + late_ns, EventKind::kTimerDue, lane_, [this, id] {
    const auto timer = timers_.find(id);
    timer->second.due = {};
    // An earlier task of the turn may still cancel the timer.
    ready_.push_back([this, id] {
      auto entry = timers_.extract(id);
      if (entry.empty()) return;
      entry.mapped().task();
    });
    wake();
  });
  timers_.emplace(id, Timer{std::move(task), due});
  return {id};
}

bool SimLoop::cancel(runtime::TimerId timer) {
  WEIR_CHECK(in_loop());
  const auto entry = timers_.extract(timer.value);
  if (entry.empty()) return false;
  if (entry.mapped().due.sequence != 0) scheduler_.erase(entry.mapped().due);
  return true;
}

void SimLoop::at_turn_end(runtime::Task task) {
  WEIR_CHECK(in_loop());
  if (dead_) return;
  turn_end_.push_back(std::move(task));
  wake();
}

Result<std::unique_ptr<runtime::Listener>> SimLoop::listen(const runtime::Endpoint& address, runtime::AcceptCallback on_accept) {
  WEIR_CHECK(in_loop());
  if (dead_) return fail(ErrorCode::kClosed, "the loop is shut down");
  return network_.listen(*this, address, std::move(on_accept));
}

void SimLoop::connect(const runtime::Endpoint& address, runtime::ConnectCallback done) {
  WEIR_CHECK(in_loop());
  if (dead_) return;
  network_.connect(*this, address, std::move(done));
}

void SimLoop::shut_down() {
  dead_ = true;
  scheduler_.discard_lane(lane_);
  // Destructors of tasks may call back into the loop; give them an empty one.
  auto ready = std::exchange(ready_, {});
  auto turn_end = std::exchange(turn_end_, {});
  auto timers = std::exchange(timers_, {});
  auto ended = std::exchange(ended_, nullptr);
  left_in_turn_ = 0;
}

SimPool::~SimPool() { shut_down(); }

int64_t SimPool::delay_ns() {
  SeededRandom& random = scheduler_.random();
  const int64_t limit = random.one_in(64) ? options_.slow_delay_ns : options_.max_delay_ns;
  return static_cast<int64_t>(random.between(options_.min_delay_ns, std::max(limit, options_.min_delay_ns)));
}

void SimPool::submit(runtime::Task work, runtime::Executor& reply_to, runtime::Task done, uint64_t ordering_key) {
  if (dead_) return;
  Job job{std::move(work), &reply_to, std::move(done)};
  if (ordering_key != 0) {
    const auto [queue, first] = waiting_.try_emplace(ordering_key);
    if (!first) {
      queue->second.push_back(std::move(job));
      return;
    }
  }
  start(std::move(job), ordering_key);
}

void SimPool::start(Job job, uint64_t ordering_key) {
  scheduler_.after(delay_ns(), EventKind::kPoolWork, lane_, [this, ordering_key, job = std::move(job)]() mutable {
    job.work();
    job.work = nullptr;
    if (job.done) job.reply_to->post(std::move(job.done));
    if (dead_ || ordering_key == 0) return;
    const auto queue = waiting_.find(ordering_key);
    if (queue->second.empty()) {
      waiting_.erase(queue);
      return;
    }
    Job next = std::move(queue->second.front());
    queue->second.pop_front();
    start(std::move(next), ordering_key);
  });
}

void SimPool::shut_down() {
  dead_ = true;
  scheduler_.discard_lane(lane_);
  auto waiting = std::exchange(waiting_, {});
}

}  // namespace weir::testing
