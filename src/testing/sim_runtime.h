// The outside world of a server in one thread, from a seed: time, loops, pool, network and disk. The server under test is
// production code given runtime() instead of the real one.
//
//   SimRuntime sim(seed, {.loops = 2});
//   auto server = std::make_unique<Server>(sim.runtime(), ...);
//   ... clients on sim.client_loop() ...
//   sim.run_until([&] { return finished; }, 60 * kSecond);
//
// A crash: either the disk ends the server's life at a chosen write (sim.disk().cut_at_write(n), then run_until returns
// kDied), or the test does at any time between events. Then
//   sim.end_server(Death::kPowerCut);   // every callback of the server is destroyed without running
//   server.reset();                     // destructors run on dead loops and a dead disk: without effect
//   sim.start_server();                 // new loops; the disk holds what survived
//   server = std::make_unique<Server>(sim.runtime(), ...);
// Clients, virtual time and the network go on across it.
//
// The same seed and the same calls give the same trace_hash(). Nothing in here reads real time, starts threads or
// orders by addresses. Outlives everything built on it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "runtime/runtime.h"
#include "testing/scheduler.h"
#include "testing/sim_disk.h"
#include "testing/sim_loop.h"
#include "testing/sim_network.h"

namespace weir::testing {

class SimRuntime {
 public:
  struct Options {
    unsigned loops = 1;
    SimDisk::Options disk = {};
    SimNetwork::Options network = {};
    SimPool::Options pool = {};
    // What a task owned goes a moment after it ran, for one in so many: what it told other loops may be faster. 0: never.
    uint64_t late_ends = 0;
    int64_t start_wall_ms = 1'735'689'600'000;  // 2025-01-01
  };
  enum class Stop { kDone, kTimeout, kIdle, kDied };

  explicit SimRuntime(uint64_t seed) : SimRuntime(seed, Options{}) {}
  SimRuntime(uint64_t seed, Options options);
  ~SimRuntime();
  SimRuntime(const SimRuntime&) = delete;
  SimRuntime& operator=(const SimRuntime&) = delete;

  // For the server of the current life.
  runtime::Runtime runtime();
  SimLoop& loop(unsigned index = 0) { return *server_->loops.at(index); }
  SimPool& pool() { return *server_->pool; }
  // For clients: a process of its own that outlives the server's lives.
  SimLoop& client_loop() { return *clients_->loops.front(); }
  SimPool& client_pool() { return *clients_->pool; }

  SimDisk& disk() { return disk_; }
  SimNetwork& network() { return network_; }
  runtime::Clock& clock() { return scheduler_.clock(); }
  SeededRandom& random() { return random_; }  // for the test itself
  uint64_t seed() const { return seed_; }
  int64_t now_ns() const { return scheduler_.now_ns(); }
  void shift_wall_clock(int64_t delta_ms) { scheduler_.shift_wall_clock(delta_ms); }

  // Runs one event; false if there is none, or the server is dead.
  bool step();
  // Until `predicate` is true (looked at between events), no event is left, the server died on its disk, or
  // `max_virtual_ns` have passed.
  Stop run_until(const std::function<bool()>& predicate, int64_t max_virtual_ns);
  Stop run_for(int64_t virtual_ns);  // kTimeout when all is well
  Stop run_until_idle(int64_t max_virtual_ns = 3600 * runtime::kSecond);
  // Runs `task` on the harness's behalf after `delay_ns`.
  void schedule(int64_t delay_ns, Function<void()> task);

  void end_server(Death death);
  void start_server();
  bool server_died() const { return disk_.dead(); }

  uint64_t trace_hash() const { return mix(scheduler_trace().value() ^ disk_.trace_hash()); }
  uint64_t events_run() const { return scheduler_.events_run(); }
  // A line per event and disk operation, to find where two runs part.
  void set_trace_sink(std::function<void(const std::string&)> sink);

 private:
  struct Process {
    uint32_t number = 0;
    std::vector<std::unique_ptr<SimLoop>> loops;
    std::unique_ptr<SimPool> pool;
    bool ended = false;
  };
  std::unique_ptr<Process> make_process(unsigned loops);
  const TraceHash& scheduler_trace() const { return const_cast<Scheduler&>(scheduler_).trace(); }

  uint64_t seed_;
  Options options_;
  SeededRandom random_;
  Scheduler scheduler_;
  SimDisk disk_;
  SimNetwork network_;
  uint32_t processes_ = 0;
  std::unique_ptr<Process> clients_;
  std::unique_ptr<Process> server_;
  std::vector<std::unique_ptr<Process>> ended_;  // objects of ended lives may still refer to their loops
};

}  // namespace weir::testing
