// Compacted partitions under crashes: keyed records and tombstones from idempotent producers, checkpoints, cleanings, readers.
// Of every key the newest record that was acknowledged or seen is there. A tombstone is there for delete.retention.ms, and the
// records that it deleted never come back. No cleaning is ever undone.
#pragma once

#include "simulation/crash_harness.h"

namespace weir::simulation {

ScenarioFactory compaction_scenario();

}  // namespace weir::simulation
