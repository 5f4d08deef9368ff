// The metadata store on SQLite: writers that put and delete keys, counters that only grow, ids from blocks.
#pragma once

#include "simulation/crash_harness.h"

namespace weir::simulation {

ScenarioFactory meta_scenario();

}  // namespace weir::simulation
