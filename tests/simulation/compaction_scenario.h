// Compacted partitions under crashes: keyed records and tombstones from idempotent producers, checkpoints, cleanings, readers.
// Of every key the newest record that was acknowledged or seen is there; a tombstone is for delete.retention.ms, and what it
// deleted never comes back; what a cleaning did is never undone.
#pragma once

#include "simulation/crash_harness.h"

namespace weir::simulation {

ScenarioFactory compaction_scenario();

}  // namespace weir::simulation
