// The storage engine under its real recovery: LogShards over LocalWal and LocalSegmentStore, several shards, idempotent
// and plain producers, readers, DeleteRecords, checkpoints, topics that come and go.
#pragma once

#include "simulation/crash_harness.h"

namespace weir::simulation {

// Oracle::happened.
inline constexpr const char* kRetentionMovedAStart = "retention moved a log start";
inline constexpr const char* kRetentionOutlivedADeath = "a log start that retention moved was there after a death";

ScenarioFactory log_scenario();

}  // namespace weir::simulation
