// The outside world of a server in one thread, from a seed: time, loops, pool, network and disk. The server under test is
// production code that gets runtime() instead of the real runtime.
//
//   SimRuntime sim(seed, {.loops = 2});
//   auto server = std::make_unique<Server>(sim.runtime(), ...);
//   ... clients on sim.client_loop() ...
//   sim.run_until([&] { return finished; }, 60 * kSecond);
//
// A crash: the disk ends the server's life at a chosen write (sim.disk().cut_at_write(n); run_until then returns kDied), or the
// test ends it at any time between events. Then
//   sim.end_server(Death::kPowerCut);   // every callback of the server is destroyed without running
//   server.reset();                     // destructors run on dead loops and a dead disk: without effect
//   sim.start_server();                 // new loops; the disk holds the bytes that survived
//   server = std::make_unique<Server>(sim.runtime(), ...);
// Clients, virtual time and the network go on across a crash.
//
// A world may hold several machines with a server each (`Options::machines`). Each machine has a disk and a wall clock of its
// own, and a process that dies and starts without the others. Calls without a machine mean the first one. The servers listen on
// different ports. Links between machines and to the clients fail by direction (network().block, host_of).
//
// The same seed and the same calls give the same trace_hash(). Nothing in here reads real time, starts threads or orders by
// addresses. Outlives everything built on it.
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
    unsigned machines = 1;
    unsigned loops = 1;  // of each server
    SimDisk::Options disk = {};
    SimNetwork::Options network = {};
    SimPool::Options pool = {};
    // One task in so many is destroyed a moment after it ran, so that other loops may act on it before. 0: none.
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
  runtime::Runtime runtime(unsigned machine = 0);
  SimLoop& loop(unsigned index = 0, unsigned machine = 0) { return *machines_.at(machine)->server->loops.at(index); }
  SimPool& pool() { return *machines_.front()->server->pool; }
  // For clients: a process of its own that outlives the server's lives.
  SimLoop& client_loop() { return *clients_->loops.front(); }
  SimPool& client_pool() { return *clients_->pool; }

  SimDisk& disk(unsigned machine = 0) { return machines_.at(machine)->disk; }
  SimNetwork& network() { return network_; }
  static constexpr uint32_t kClientHost = 0;
  static uint32_t host_of(unsigned machine) { return 1 + machine; }
  runtime::Clock& clock() { return scheduler_.clock(); }  // the world's, and the clients'
  SeededRandom& random() { return random_; }              // for the test itself
  uint64_t seed() const { return seed_; }
  int64_t now_ns() const { return scheduler_.now_ns(); }
  // Of all machines, or of one.
  void shift_wall_clock(int64_t delta_ms) { scheduler_.shift_wall_clock(delta_ms); }
  void shift_wall_clock(int64_t delta_ms, unsigned machine) { machines_.at(machine)->clock.shift_wall(delta_ms); }
  int64_t wall_clock_offset_ms(unsigned machine = 0) const { return machines_.at(machine)->clock.wall_offset_ms(); }

  // Runs one event; false if there is none, or the server is dead.
  bool step();
  // Runs until `predicate` is true (checked between events), no event is left, the server died on its disk, or `max_virtual_ns`
  // have passed.
  Stop run_until(const std::function<bool()>& predicate, int64_t max_virtual_ns);
  Stop run_for(int64_t virtual_ns);  // kTimeout when all is well
  Stop run_until_idle(int64_t max_virtual_ns = 3600 * runtime::kSecond);
  // Runs `task` on the harness's behalf after `delay_ns`.
  void schedule(int64_t delay_ns, Function<void()> task);

  void end_server(Death death, unsigned machine = 0);
  void start_server(unsigned machine = 0);
  bool server_died() const;  // of any machine

  uint64_t trace_hash() const;
  uint64_t events_run() const { return scheduler_.events_run(); }
  // The sink gets a line for each event and disk operation, to find where two runs part.
  void set_trace_sink(std::function<void(const std::string&)> sink);

 private:
  struct Process {
    uint32_t number = 0;
    std::vector<std::unique_ptr<SimLoop>> loops;
    std::unique_ptr<SimPool> pool;
    bool ended = false;
  };
  struct Machine {
    Machine(uint64_t seed, const SimDisk::Options& options, const Scheduler& world) : disk(seed, options), clock(world) {}
    SimDisk disk;
    VirtualClock clock;
    std::unique_ptr<Process> server;
  };
  std::unique_ptr<Process> make_process(uint32_t host, const runtime::Clock& clock, unsigned loops);
  bool is_dead(uint32_t process) const;
  const TraceHash& scheduler_trace() const { return const_cast<Scheduler&>(scheduler_).trace(); }

  uint64_t seed_;
  Options options_;
  SeededRandom random_;
  Scheduler scheduler_;
  SimNetwork network_;
  uint32_t processes_ = 0;
  std::vector<std::unique_ptr<Machine>> machines_;
  std::unique_ptr<Process> clients_;
  std::vector<std::unique_ptr<Process>> ended_;  // kept: objects of ended lives may still refer to their loops
};

}  // namespace weir::testing
