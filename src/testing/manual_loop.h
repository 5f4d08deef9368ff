// One loop, one pool and one disk for unit tests of objects that live on a loop. The test calls the objects directly, then lets
// virtual time pass.
//
//   ManualLoop world;
//   Thing thing(world.loop(), world.files(), world.pool());
//   thing.start(...);
//   world.run();                  // until nothing is left to do
//   world.advance(5 * kSecond);   // timers fire
#pragma once

#include "testing/sim_runtime.h"

namespace weir::testing {

class ManualLoop {
 public:
  explicit ManualLoop(uint64_t seed = 1) : sim_(seed) {}

  runtime::Loop& loop() { return sim_.loop(); }
  runtime::Pool& pool() { return sim_.pool(); }
  runtime::FileSystem& files() { return sim_.disk(); }
  runtime::Clock& clock() { return sim_.clock(); }
  SimDisk& disk() { return sim_.disk(); }
  SimRuntime& sim() { return sim_; }

  // Runs until no event is left, timers included, however far away they are. Not for objects that keep a periodic timer.
  void run() { sim_.run_until_idle(); }
  void advance(int64_t virtual_ns) { sim_.run_for(virtual_ns); }
  bool run_until(const std::function<bool()>& predicate, int64_t max_virtual_ns = 60 * runtime::kSecond) {
    return sim_.run_until(predicate, max_virtual_ns) == SimRuntime::Stop::kDone;
  }

 private:
  SimRuntime sim_;
};

}  // namespace weir::testing
