#include "runtime/flush_thread.h"

#include <utility>

#include "runtime/thread_setup.h"

namespace weir::runtime {

Result<std::unique_ptr<FlushThread>> FlushThread::start(Loop& loop) {
  std::unique_ptr<FlushThread> engine(new FlushThread(loop));
  auto thread = make_thread("weir-flush", loop.index(), [engine = engine.get()] { engine->run(); });
  if (!thread) return std::unexpected(thread.error());
  engine->thread_ = std::move(*thread);
  return engine;
}

FlushThread::~FlushThread() { stop(); }

void FlushThread::submit(std::shared_ptr<FlushRequest> request) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    queue_.push_back(std::move(request));
  }
  ready_.notify_one();
}

void FlushThread::stop() {
  std::deque<std::shared_ptr<FlushRequest>> dropped;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    dropped.swap(queue_);
  }
  ready_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void FlushThread::run() {
  for (;;) {
    std::shared_ptr<FlushRequest> request;
    {
      std::unique_lock lock(mutex_);
      ready_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      request = std::move(queue_.front());
      queue_.pop_front();
    }
    // The loop does not touch these members until the completion reaches it.
    request->outcome = write_fully(request->fd.get(), request->offset, request->pieces, request->rw_flags, request->path);
    loop_.post([moved = std::move(request)] { moved->complete(); });
  }
}

}  // namespace weir::runtime
