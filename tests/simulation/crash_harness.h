// Runs a system against a seeded workload, cuts it off at the n-th write to its disk, starts it again on the disk that is left,
// and asks the oracle whether every promise was kept.
//
// A seed and a cut make a run: these two numbers repeat it, together with the options that were fixed instead of drawn. Lives
// after the first may be cut as well (in recovery, too), at writes drawn from the seed.
//
// The last life ends by healing: no disk or link fails any more, no clock jumps, and everything under way has to end within
// bounded virtual time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "simulation/drawn_options.h"
#include "simulation/oracle.h"
#include "testing/sim_runtime.h"

namespace weir::simulation {

// A system under test with its workload. Lives for one run, over all lives of the system, because the clients' side remembers
// what the system said. Calls come between events. A phase goes on in the simulation until its predicate is true. After the
// disk died only destroy() follows, then start(). verify() comes while no work is under way.
class Scenario {
 public:
  virtual ~Scenario() = default;
  // Builds the system on sim.runtime(). A failed start is a violation, unless the disk died meanwhile.
  virtual void start() = 0;
  virtual bool started() = 0;
  // Has the system show everything that the oracle may judge. Comes after each start, and after work() and settle().
  virtual void verify() = 0;
  virtual bool verified() = 0;
  // The workload, a share of it in each life. After a restart clients first repeat the requests that got no answer.
  virtual void work() = 0;
  virtual bool worked() = 0;
  // After the last work, when nothing fails any more: all clients have to finish. verify() comes after it.
  virtual void settle() {}
  virtual bool settled() { return true; }
  // An orderly end after work. The power goes right after it.
  virtual void stop() {}
  virtual bool stopped() { return true; }
  // Not empty: this life cannot go on (start failed, the disk failed), and this is why. If the harness made the disk fail, the
  // process is killed and started again. Otherwise it is a violation.
  virtual std::string failure() { return {}; }
  // Destroys the system: the process is dead.
  virtual void destroy() = 0;
};

using ScenarioFactory = std::function<std::unique_ptr<Scenario>(testing::SimRuntime& sim, Oracle& oracle,
                                                                testing::SeededRandom random, DrawnOptions& options)>;

struct CrashOptions {
  DrawnOptions::Fixed fixed = {};                           // all other options are drawn from the seed
  unsigned lives_max = 4;                                   // the last one is never cut
  int64_t phase_max_ns = 600 * runtime::kSecond;            // virtual; a phase that takes longer hangs
  int64_t settle_max_ns = 120 * runtime::kSecond;           // until all clients are done, once nothing fails
  uint64_t later_cut_max = 60;                              // later lives are cut within so many writes
  bool failing_disk = false;                                // syncs, writes and reads fail now and then
  std::function<void(const std::string&)> trace = nullptr;  // a line per event, for a single run
};

struct CrashRun {
  uint64_t seed = 0;
  uint64_t cut = 0;          // 0: no cut
  bool cut_reached = false;  // the first life died at its n-th write
  std::string options;       // drawn and fixed
  bool exhausted = false;    // the first life ended as planned: it has fewer than n writes
  unsigned lives = 0;
  uint64_t writes = 0;  // write points of all lives
  uint64_t info = 0;    // Oracle::info
  std::map<std::string, uint64_t> happened;
  uint64_t trace_hash = 0;
  std::vector<std::string> violations;
};

// One run. The first life is cut at write `cut` (0: not at all).
CrashRun run_crash(const ScenarioFactory& factory, uint64_t seed, uint64_t cut, const CrashOptions& options = {});

struct CrashSweep {
  uint64_t seed_first = 1;
  uint64_t seed_last = 1;
  uint64_t cuts_max = 0;  // per seed; 0: every write
  uint64_t every = 1;     // every k-th write only; the first one depends on the seed
};
struct SweepResult {
  uint64_t runs = 0;
  uint64_t cuts = 0;
  uint64_t info = 0;
  std::map<std::string, uint64_t> happened;
  std::vector<CrashRun> failed;
};
// Runs all seeds, each with cuts 1, 2, ... until the workload ends before its cut. Calls `progress` after each run. If it returns
// false, the sweep stops.
SweepResult sweep_crashes(const ScenarioFactory& factory, const CrashSweep& sweep, const CrashOptions& options = {},
                          const std::function<bool(const CrashRun&)>& progress = nullptr);

// The run in words, with the numbers that repeat it.
std::string describe(const CrashRun& run);

}  // namespace weir::simulation
