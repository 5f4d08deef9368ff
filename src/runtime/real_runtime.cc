#include "runtime/real_runtime.h"

#include <algorithm>

#include "runtime/machine.h"
#include "runtime/thread_setup.h"

namespace weir::runtime {
namespace {
constexpr unsigned kPoolThreadsMax = 4;
}

RealRuntime::RealRuntime(RealRuntimeOptions options)
    : pool_(options.pool_threads != 0 ? options.pool_threads
                                      : std::min(kPoolThreadsMax, available_cores() + 1)),
      files_(options.flush_engine) {
  const unsigned count = options.loops != 0 ? options.loops : available_cores();
  for (unsigned i = 0; i < count; ++i) {
    loops_.push_back(std::make_unique<EpollLoop>(i, clock_, pool_, addresses_));
    runtime_.loops.push_back(loops_.back().get());
  }
  runtime_.clock = &clock_;
  runtime_.files = &files_;
  runtime_.pool = &pool_;
}

RealRuntime::~RealRuntime() {
  stop();
}

void RealRuntime::run() {
  pool_.start();
  for (const auto& loop : loops_) {
    threads_.emplace_back([&target = *loop] {
      name_thread("weir-loop", target.index());
      block_all_signals();
      target.run();
    });
  }
}

void RealRuntime::request_stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_wanted_ = true;
  }
  stop_requested_.notify_all();
}

void RealRuntime::wait() {
  std::unique_lock lock(mutex_);
  stop_requested_.wait(lock, [this] { return stop_wanted_; });
}

void RealRuntime::stop() {
  if (std::exchange(stopped_, true)) return;
  for (const auto& loop : loops_) loop->request_stop();
  for (std::thread& thread : threads_) thread.join();
  pool_.stop();
  files_.stop_writers();
  for (const auto& loop : loops_) loop->discard_tasks();
}

}  // namespace weir::runtime
