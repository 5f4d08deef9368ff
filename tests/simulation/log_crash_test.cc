// The engine with the plug pulled at every write of a seeded workload (a sample of the writes here; `./dev crash` and
// weir_simulation take more).
#include <gtest/gtest.h>

#include "simulation/log_scenario.h"

namespace weir::simulation {
namespace {

void sweep(unsigned loops, CrashSweep which) {
  CrashOptions options;
  options.runtime.loops = loops;
  const SweepResult result = sweep_crashes(log_scenario(), which, options);
  for (const CrashRun& run : result.failed) ADD_FAILURE() << describe(run);
  EXPECT_GT(result.cuts, 20u);
  EXPECT_GT(result.facts, 1000u);
}

TEST(LogCrash, KeepsEveryPromiseWithoutCuts) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const CrashRun run = run_crash(log_scenario(), seed, 0);
    EXPECT_TRUE(run.violations.empty()) << describe(run);
    EXPECT_GT(run.facts, 100u);
  }
}

TEST(LogCrash, OneShard) { sweep(1, {.seed_first = 1, .seed_last = 12, .every = 5}); }
TEST(LogCrash, TwoShards) { sweep(2, {.seed_first = 101, .seed_last = 108, .every = 7}); }

TEST(LogCrash, SameSeedSameTrace) {
  const CrashRun a = run_crash(log_scenario(), 7, 40);
  const CrashRun b = run_crash(log_scenario(), 7, 40);
  EXPECT_EQ(a.trace_hash, b.trace_hash);
}

}  // namespace
}  // namespace weir::simulation
