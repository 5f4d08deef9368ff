// The production Runtime: the machine's clock, files and sockets, one loop thread per shard and a small pool.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/bound_addresses.h"
#include "runtime/epoll_loop.h"
#include "runtime/posix_file_system.h"
#include "runtime/runtime.h"
#include "runtime/system_clock.h"
#include "runtime/thread_pool.h"

namespace weir::runtime {

struct RealRuntimeOptions {
  unsigned loops = 0;         // 0: available_cores()
  unsigned pool_threads = 0;  // 0: min(4, cores + 1)
  FlushEngineKind flush_engine = FlushEngineKind::kAuto;
};

// Lifecycle: construct; wire the server (listen, post first tasks); run() starts the threads; stop() ends and
// joins them. In between wait() blocks until somebody asked for the end. After stop() nothing runs any more,
// and everything built on the runtime can be destroyed in any order, before the runtime itself. run() and
// stop() once each, on one thread that is not one of the runtime's own.
class RealRuntime {
 public:
  explicit RealRuntime(RealRuntimeOptions options = {});
  ~RealRuntime();
  RealRuntime(const RealRuntime&) = delete;
  RealRuntime& operator=(const RealRuntime&) = delete;

  void run();
  void request_stop();  // any thread
  void wait();
  // Tasks not run by then are destroyed, on the calling thread, after all others have ended.
  void stop();

  Runtime& runtime() { return runtime_; }
  EpollLoop& loop(size_t index) { return *loops_[index]; }
  size_t loop_count() const { return loops_.size(); }

 private:
  SystemClock clock_;
  BoundAddresses addresses_;
  ThreadPool pool_;
  std::vector<std::unique_ptr<EpollLoop>> loops_;
  PosixFileSystem files_;
  Runtime runtime_;
  std::vector<std::thread> threads_;
  bool stopped_ = false;

  std::mutex mutex_;  // protects stop_wanted_
  std::condition_variable stop_requested_;
  bool stop_wanted_ = false;
};

}  // namespace weir::runtime
