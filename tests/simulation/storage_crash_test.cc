// The storage engine on a failing disk and the metadata store under power cuts: a short sweep in every build. Long ones:
// weir_simulation.
#include <gtest/gtest.h>

#include "base/log.h"
#include "simulation/log_scenario.h"
#include "simulation/meta_scenario.h"

namespace weir::simulation {
namespace {

// Uneven steps, so that over the seeds every write is hit.
void expect_kept(const ScenarioFactory& factory, const CrashSweep& sweep, const CrashOptions& options, uint64_t cuts_min) {
  set_log_level(LogLevel::kError);
  const auto result = sweep_crashes(factory, sweep, options);
  for (const CrashRun& run : result.failed) ADD_FAILURE() << describe(run);
  EXPECT_GE(result.cuts, cuts_min);
  EXPECT_GT(result.facts, result.runs * 10);
}

TEST(LogUnderCrashes, KeepsWhatItAcknowledgedOnAFailingDisk) {
  expect_kept(log_scenario(), {.seed_first = 101, .seed_last = 110, .every = 13},
              {.runtime = {.loops = 2}, .failing_disk = true}, 40);
}

TEST(MetadataUnderCrashes, KeepsWhatItAcknowledged) {
  expect_kept(meta_scenario(), {.seed_first = 1, .seed_last = 20, .every = 5}, {}, 200);
}

TEST(MetadataUnderCrashes, KeepsWhatItAcknowledgedOnAFailingDisk) {
  expect_kept(meta_scenario(), {.seed_first = 101, .seed_last = 120, .every = 5}, {.failing_disk = true}, 100);
}

}  // namespace
}  // namespace weir::simulation
