// FlushEngine with a thread of its own that writes with pwritev2: for systems that refuse io_uring.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "runtime/flush_engine.h"

namespace weir::runtime {

class FlushThread final : public FlushEngine {
 public:
  static Result<std::unique_ptr<FlushThread>> start(Loop& loop);
  ~FlushThread() override;
  void submit(std::shared_ptr<FlushRequest> request) override;
  void stop() override;

 private:
  explicit FlushThread(Loop& loop) : loop_(loop) {}
  void run();

  Loop& loop_;
  std::mutex mutex_;  // protects queue_ and stopping_
  std::condition_variable ready_;
  std::deque<std::shared_ptr<FlushRequest>> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace weir::runtime
