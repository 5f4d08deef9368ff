// The production Pool: a few threads and one queue.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "runtime/loop.h"

namespace weir::runtime {

// submit works from construction on; tasks run between start and stop. make_threads may come before start: a process that may
// not have threads learns it early. stop finishes the tasks that run, destroys the rest without running them, and joins the
// threads. Later submissions are destroyed. `done` of an ordered task is posted before the next task of its key starts.
class ThreadPool final : public Pool {
 public:
  explicit ThreadPool(unsigned threads);
  ~ThreadPool() override;

  Result<void> make_threads();
  void start();
  void stop();
  void submit(Task work, Executor& reply_to, Task done, uint64_t ordering_key) override;

 private:
  struct Job {
    Task work;
    Executor* reply_to = nullptr;
    Task done;
    uint64_t ordering_key = 0;
  };
  void run_jobs();
  bool take(Job& job);
  void finished(uint64_t ordering_key);

  const unsigned thread_count_;
  std::vector<std::thread> threads_;

  std::mutex mutex_;  // protects everything below
  std::condition_variable work_ready_;
  std::deque<Job> ready_;
  std::unordered_map<uint64_t, std::deque<Job>> waiting_;  // by key; present while a job of the key is ready or runs
  unsigned idle_ = 0;
  bool started_ = false;
  bool stopping_ = false;
};

}  // namespace weir::runtime
