// Faults around the broker while clients work: connections break, stall or become half-open, links carry one direction only,
// the disk is full for a while, the wall clock jumps. The seed decides which faults come, and how often.
#pragma once

#include <cstdint>
#include <vector>

#include "simulation/drawn_options.h"
#include "simulation/oracle.h"
#include "testing/sim_runtime.h"

namespace weir::simulation {

// Oracle::happened.
inline constexpr const char* kDiskWasFull = "the disk was full for a while";
inline constexpr const char* kLinkWasDown = "a link was down";

class ServerFaults {
 public:
  ServerFaults(testing::SimRuntime& sim, Oracle& oracle, testing::SeededRandom random, DrawnOptions& options);

  // Faults come between begin() and end(). end() heals all but lost connections. Call both between events, or on the client loop.
  void begin();
  void end();

  // Answers may be missing, and requests arrive after their client gave up.
  bool of_network() const { return network_; }
  bool of_disk() const { return disk_; }
  // A client that waits longer should give up its connection. 0: none has to.
  int64_t timeout_ns() const { return network_ ? 400 * runtime::kMillisecond : 0; }

 private:
  using Fault = void (ServerFaults::*)();
  void next();
  void reset();
  void lose();
  void freeze();
  void block();
  void stall();
  void fill_disk();
  void jump();
  // Ends the fault that lasts, after so many milliseconds at most.
  void pass(uint64_t at_most_ms);

  testing::SimRuntime& sim_;
  Oracle& oracle_;
  testing::SeededRandom random_;
  std::vector<Fault> faults_;
  uint64_t every_ms_;
  bool network_ = false;
  bool disk_ = false;
  uint64_t round_ = 0;  // begin() and end() make the timers of the last round void
  bool working_ = false;
  bool lasting_ = false;
};

}  // namespace weir::simulation
