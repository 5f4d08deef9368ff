// The whole broker with the plug pulled: a sample in every build. Long runs: weir_simulation --scenario server.
#include <gtest/gtest.h>

#include "base/log.h"
#include "simulation/server_scenario.h"

namespace weir::simulation {
namespace {

TEST(ServerUnderCrashes, KeepsWhatItAcknowledged) {
  set_log_level(LogLevel::kError);
  const auto result = sweep_crashes(server_scenario(), {.seed_first = 1, .seed_last = 4, .every = 23}, {.runtime = {.loops = 2}});
  for (const CrashRun& run : result.failed) ADD_FAILURE() << describe(run);
  EXPECT_GE(result.cuts, 20u);
  EXPECT_GT(result.facts, result.runs * 100);
}

TEST(ServerUnderCrashes, OneSeedOneTrace) {
  set_log_level(LogLevel::kError);
  const CrashOptions options{.runtime = {.loops = 3}};
  const CrashRun first = run_crash(server_scenario(), 11, 200, options);
  const CrashRun again = run_crash(server_scenario(), 11, 200, options);
  EXPECT_EQ(first.trace_hash, again.trace_hash);
  EXPECT_EQ(first.facts, again.facts);
}

}  // namespace
}  // namespace weir::simulation
