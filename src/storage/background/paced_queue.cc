#include "storage/background/paced_queue.h"

#include <utility>

namespace weir::storage {

void PacedQueue::submit(Turn turn, runtime::Executor& reply_to, runtime::Task done) {
  auto job = std::make_shared<Job>();
  job->turn = std::move(turn);
  job->reply_to = &reply_to;
  job->done = std::move(done);
  {
    const std::lock_guard lock(line_->mutex);
    if (line_->busy) {
      line_->waiting.push_back(std::move(job));
      return;
    }
    line_->busy = true;
  }
  start(std::move(job));
}

void PacedQueue::start(std::shared_ptr<Job> job) {
  runtime::Executor& reply_to = *job->reply_to;
  pool_.submit([this, job = std::move(job)] { run(job); }, reply_to, {});
}

void PacedQueue::run(std::shared_ptr<Job> job) {
  do {
    const int64_t wait = throttle_ ? throttle_->wait_ns(BackgroundJob::kCheckpoint) : 0;
    if (wait > 0) return throttle_->after(wait, [this, job] { start(job); });
  } while (!job->turn());
  job->turn = nullptr;
  const std::shared_ptr<Line> line = line_;
  if (job->done) job->reply_to->post(std::move(job->done));
  std::shared_ptr<Job> next;
  {
    const std::lock_guard lock(line->mutex);
    line->busy = !line->waiting.empty();
    if (!line->busy) return;
    next = std::move(line->waiting.front());
    line->waiting.pop_front();
  }
  start(std::move(next));
}

}  // namespace weir::storage
