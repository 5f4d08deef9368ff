// Compacted partitions under crashes: keyed records and tombstones from idempotent producers, merges, cleanings, readers.
// Of every key the newest record that was acknowledged or seen is there; a tombstone is for delete.retention.ms, and what it
// deleted never comes back; what a cleaning did is never undone.
#pragma once

#include "simulation/crash_harness.h"

namespace weir::simulation {

struct CompactionScenarioOptions {
  unsigned steps = 70;  // of the workload, per life
};

ScenarioFactory compaction_scenario(CompactionScenarioOptions options = {});

}  // namespace weir::simulation
