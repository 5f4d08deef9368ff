// Termination signals as tasks.
#pragma once

#include "base/function.h"
#include "runtime/epoll_loop.h"
#include "runtime/unique_fd.h"

namespace weir::runtime {

// Calls back on the loop for each SIGTERM and SIGINT, and for each SIGHUP and SIGQUIT unless the process was started
// with that one ignored (nohup). Construct on the main thread before any other thread
// exists (the signals are blocked for it and for all threads it creates, or one of those would be killed);
// destroy on the loop, or after it has ended. The signals stay blocked afterwards.
class SignalWatch final : private EventTarget {
 public:
  SignalWatch(EpollLoop& loop, Function<void(int signal_number)> on_signal);
  ~SignalWatch();

 private:
  void on_events(uint32_t epoll_events) override;

  EpollLoop& loop_;
  UniqueFd fd_;
  WatchId watch_;
  Function<void(int)> on_signal_;
};

}  // namespace weir::runtime
