#include "runtime/real_runtime.h"

#include <algorithm>

#include "base/check.h"
#include "runtime/machine.h"
#include "runtime/thread_setup.h"

namespace weir::runtime {
namespace {
constexpr unsigned kPoolThreadsMax = 4;
}

RealRuntime::RealRuntime(RealRuntimeOptions options)
    : pool_(options.pool_threads != 0 ? options.pool_threads : std::min(kPoolThreadsMax, available_cores() + 1)),
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

RealRuntime::~RealRuntime() { stop(); }

Result<void> RealRuntime::make_threads() {
  if (auto ok = pool_.make_threads(); !ok) return ok;
  for (const auto& loop : loops_) {
    if (auto ok = files_.prepare_writers(*loop); !ok) return ok;
  }
  while (threads_.size() < loops_.size()) {
    EpollLoop& loop = *loops_[threads_.size()];
    auto thread = make_thread("weir-loop", loop.index(), [this, &loop] {
      gate_.wait(Gate::kShut);
      if (gate_ == Gate::kRun) loop.run();
    });
    if (!thread) return std::unexpected(thread.error());
    threads_.push_back(std::move(*thread));
  }
  return {};
}

void RealRuntime::run() {
  WEIR_CHECK(make_threads());
  pool_.start();
  gate_ = Gate::kRun;
  gate_.notify_all();
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
  Gate shut = Gate::kShut;
  if (gate_.compare_exchange_strong(shut, Gate::kEnd)) gate_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  pool_.stop();
  files_.stop_writers();
  for (const auto& loop : loops_) loop->discard_tasks();
}

}  // namespace weir::runtime
