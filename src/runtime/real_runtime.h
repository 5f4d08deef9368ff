// The production Runtime: the machine's clock, files and sockets, one loop thread per shard and a small pool.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"
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

// Lifecycle: construct; make_threads(), which fails where a limit refuses them; wire the server (listen, post first tasks);
// run() lets the threads go; stop() ends and
// joins them. In between wait() blocks until somebody asked for the end. After stop() nothing runs any more,
// and everything built on the runtime can be destroyed in any order, before the runtime itself. run() and
// stop() once each, on one thread that is not one of the runtime's own.
class RealRuntime {
 public:
  explicit RealRuntime(RealRuntimeOptions options = {});
  ~RealRuntime();
  RealRuntime(const RealRuntime&) = delete;
  RealRuntime& operator=(const RealRuntime&) = delete;

  Result<void> make_threads();
  void run();           // makes them if that was not done
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
  enum class Gate : uint8_t { kShut, kRun, kEnd };
  std::atomic<Gate> gate_{Gate::kShut};  // in front of the loops
  std::vector<std::thread> threads_;
  bool stopped_ = false;

  std::mutex mutex_;  // protects stop_wanted_
  std::condition_variable stop_requested_;
  bool stop_wanted_ = false;
};

}  // namespace weir::runtime
