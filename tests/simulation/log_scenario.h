// The storage engine with its real recovery: several LogShards over LocalWal and LocalSegmentStore, idempotent and plain
// producers, readers, DeleteRecords, retention, checkpoints, topics that come and go.
#pragma once

#include "simulation/crash_harness.h"

namespace weir::simulation {

// Oracle::happened.
inline constexpr const char* kRetentionMovedAStart = "retention moved a log start";
inline constexpr const char* kRetentionOutlivedADeath = "a log start that retention moved was there after a death";

ScenarioFactory log_scenario();

}  // namespace weir::simulation
