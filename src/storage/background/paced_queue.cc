#include "storage/background/paced_queue.h"

#include <utility>

namespace weir::storage {

void PacedQueue::submit(Turn turn, runtime::Executor& reply_to, runtime::Task done) {
  auto job = std::make_shared<Job>();
  job->turn = std::move(turn);
  job->reply_to = &reply_to;
  job->done = std::move(done);
  {
    const std::lock_guard lock(mutex_);
    if (busy_) {
      waiting_.push_back(std::move(job));
      return;
    }
    busy_ = true;
  }
  start(std::move(job));
}

void PacedQueue::start(std::shared_ptr<Job> job) {
  runtime::Executor& reply_to = *job->reply_to;
  pool_.submit([this, job = std::move(job)] { run(job); }, reply_to, {});
}

void PacedQueue::run(std::shared_ptr<Job> job) {
  do {
    const int64_t wait = throttle_ ? throttle_->wait_ns(BackgroundJob::kMerge) : 0;
    if (wait > 0) return throttle_->after(wait, [this, job] { start(job); });
  } while (!job->turn());
  job->turn = nullptr;
  if (job->done) job->reply_to->post(std::move(job->done));
  std::shared_ptr<Job> next;
  {
    const std::lock_guard lock(mutex_);
    busy_ = !waiting_.empty();
    if (!busy_) return;
    next = std::move(waiting_.front());
    waiting_.pop_front();
  }
  start(std::move(next));
}

}  // namespace weir::storage
