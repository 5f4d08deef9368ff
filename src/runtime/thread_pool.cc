#include "runtime/thread_pool.h"

#include <utility>

#include "base/check.h"
#include "runtime/thread_setup.h"

namespace weir::runtime {

ThreadPool::ThreadPool(unsigned threads) : thread_count_(threads) {}

ThreadPool::~ThreadPool() { stop(); }

Result<void> ThreadPool::make_threads() {
  while (threads_.size() < thread_count_) {
    auto thread = make_thread("weir-pool", static_cast<unsigned>(threads_.size()), [this] { run_jobs(); });
    if (!thread) return std::unexpected(thread.error());
    threads_.push_back(std::move(*thread));
  }
  return {};
}

void ThreadPool::start() {
  WEIR_CHECK(make_threads());
  {
    const std::lock_guard lock(mutex_);
    started_ = true;
  }
  work_ready_.notify_all();
}

void ThreadPool::stop() {
  std::deque<Job> dropped;
  std::unordered_map<uint64_t, std::deque<Job>> dropped_waiting;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    dropped.swap(ready_);
    dropped_waiting.swap(waiting_);
  }
  work_ready_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void ThreadPool::submit(Task work, Executor& reply_to, Task done, uint64_t ordering_key) {
  Job job{std::move(work), &reply_to, std::move(done), ordering_key};
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;  // `job` is destroyed after the lock is released
    if (ordering_key != 0) {
      const auto [entry, first] = waiting_.try_emplace(ordering_key);
      if (!first) {
        entry->second.push_back(std::move(job));
        return;
      }
    }
    ready_.push_back(std::move(job));
    wake = idle_ > 0;
  }
  if (wake) work_ready_.notify_one();
}

void ThreadPool::run_jobs() {
  Job job;
  while (take(job)) {
    job.work();
    job.work = nullptr;
    if (job.done) job.reply_to->post(std::move(job.done));
    if (job.ordering_key != 0) finished(job.ordering_key);
  }
}

bool ThreadPool::take(Job& job) {
  std::unique_lock lock(mutex_);
  ++idle_;
  work_ready_.wait(lock, [this] { return stopping_ || (started_ && !ready_.empty()); });
  --idle_;
  if (stopping_) return false;
  job = std::move(ready_.front());
  ready_.pop_front();
  return true;
}

void ThreadPool::finished(uint64_t ordering_key) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    const auto entry = waiting_.find(ordering_key);
    if (entry == waiting_.end()) return;  // stopping
    if (entry->second.empty()) {
      waiting_.erase(entry);
      return;
    }
    ready_.push_back(std::move(entry->second.front()));
    entry->second.pop_front();
    wake = idle_ > 0;
  }
  if (wake) work_ready_.notify_one();
}

}  // namespace weir::runtime
