// Runs the sweeps of ci_sweeps.cc in every build. weir_simulation makes long runs.
#include "simulation/ci_sweeps.h"

#include <gtest/gtest.h>

#include "base/log.h"
#include "simulation/log_scenario.h"
#include "simulation/server_scenario.h"

namespace weir::simulation {
namespace {

class CiSweeps : public ::testing::TestWithParam<std::string> {};

TEST_P(CiSweeps, KeepWhatWasAcknowledged) {
  set_log_level(LogLevel::kError);
  const CiSweep& ci = ci_sweep(GetParam());
  const SweepResult result = sweep_crashes(ci.factory, ci.sweep, ci.options);
  for (const CrashRun& run : result.failed) ADD_FAILURE() << describe(run);
  EXPECT_GE(result.cuts, ci.cuts_min);
  EXPECT_GT(result.info, result.runs * ci.info_per_run_min);
  for (const std::string& what : ci.must_happen) EXPECT_TRUE(result.happened.contains(what)) << what;
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const CiSweep& ci : ci_sweeps()) all.push_back(ci.name);
  return all;
}
INSTANTIATE_TEST_SUITE_P(All, CiSweeps, ::testing::ValuesIn(names()), [](const auto& instance) {
  std::string name = instance.param;
  std::erase(name, '-');
  return name;
});

TEST(LogUnderCrashes, KeepsEveryPromiseWithoutCuts) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const CrashRun run = run_crash(log_scenario(), seed, 0, {.fixed = {{"steps", 100}}});
    EXPECT_TRUE(run.violations.empty()) << describe(run);
    EXPECT_GT(run.info, 20u);
  }
}

TEST(LogUnderCrashes, OneSeedOneTrace) {
  const CrashRun first = run_crash(log_scenario(), 7, 40);
  const CrashRun again = run_crash(log_scenario(), 7, 40);
  EXPECT_EQ(first.trace_hash, again.trace_hash);
}

TEST(ServerUnderCrashes, OneSeedOneTrace) {
  set_log_level(LogLevel::kError);
  const CrashOptions options{.fixed = {{"shards", 3}}};
  const CrashRun first = run_crash(server_scenario(), 11, 200, options);
  const CrashRun again = run_crash(server_scenario(), 11, 200, options);
  EXPECT_EQ(first.trace_hash, again.trace_hash);
  EXPECT_EQ(first.info, again.info);
}

}  // namespace
}  // namespace weir::simulation
