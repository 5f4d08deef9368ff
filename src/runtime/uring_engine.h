// FlushEngine on io_uring: one ring for all writers of a loop.
#pragma once

#include <liburing.h>

#include <memory>
#include <vector>

#include "runtime/epoll_loop.h"
#include "runtime/flush_engine.h"
#include "runtime/unique_fd.h"

namespace weir::runtime {

// A write is one io_uring_enter to submit; an eventfd wakes the loop's epoll when it is done. Created on any thread, bound to
// the loop's thread by the first write. When the loop ends, the engine waits for the writes under way.
class UringEngine final : public FlushEngine, private EventTarget {
 public:
  // Fails where io_uring does not exist or is forbidden (containers, sysctl kernel.io_uring_disabled).
  static Result<std::unique_ptr<UringEngine>> open(EpollLoop& loop);
  ~UringEngine() override;

  void submit(std::shared_ptr<FlushRequest> request) override;
  void stop() override;

 private:
  explicit UringEngine(EpollLoop& loop) : loop_(loop) {}
  void bind_to_this_thread();
  void start(size_t slot);
  void on_events(uint32_t epoll_events) override;
  void reap(bool report);
  void finish_part(size_t slot, int result, bool report);
  void wait_for_writes();

  EpollLoop& loop_;
  io_uring ring_{};
  bool open_ = false;
  UniqueFd event_;
  WatchId watch_ = 0;
  // Index is the user data of the submission.
  std::vector<std::shared_ptr<FlushRequest>> under_way_;
  std::vector<size_t> free_slots_;
};

}  // namespace weir::runtime
