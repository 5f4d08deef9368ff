// Runs the segment store's background jobs on the pool, one after the other in the order of submit(). A job works in turns. The
// queue asks the throttle before each turn. A job that has to wait holds no thread of the pool: a timer brings it back.
//
// submit() is thread-safe. `pool` and `throttle` outlive the queue. The queue may be destroyed once every job's `done` was
// posted, or when no task of the pool and of the throttle's loop runs any more.
#pragma once

#include <deque>
#include <memory>
#include <mutex>

#include "storage/background/background_throttle.h"

namespace weir::storage {

class PacedQueue {
 public:
  // Does some of the work on a thread of the pool. Returns true once all of it is done.
  using Turn = Function<bool()>;

  // Without a throttle no job ever waits.
  PacedQueue(runtime::Pool& pool, BackgroundThrottle* throttle) : pool_(pool), throttle_(throttle) {}

  // Posts `done` to `reply_to` before the next job begins.
  void submit(Turn turn, runtime::Executor& reply_to, runtime::Task done);

 private:
  struct Job {
    Turn turn;
    runtime::Executor* reply_to = nullptr;
    runtime::Task done;
  };
  void start(std::shared_ptr<Job> job);
  void run(std::shared_ptr<Job> job);

  runtime::Pool& pool_;
  BackgroundThrottle* const throttle_;

  struct Line {
    std::mutex mutex;  // everything below
    bool busy = false;
    std::deque<std::shared_ptr<Job>> waiting;
  };
  // Shared with the thread that has posted a job's `done`: the queue may be gone by then.
  const std::shared_ptr<Line> line_ = std::make_shared<Line>();
};

}  // namespace weir::storage
