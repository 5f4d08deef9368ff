// A broker with transactions: producers and processors of both transaction versions that stop at each step and come back as
// zombies, consumers that read committed and uncommitted, faults of the network and the disk, and a death at any write. All
// clients write one history, and at the end, when everything has settled, the checker of src/testing/history judges it.
#pragma once

#include "simulation/crash_harness.h"
#include "simulation/server_faults.h"
#include "simulation/transaction_worker.h"

namespace weir::simulation {

// Oracle::happened, besides the events of faults and workers.
inline constexpr const char* kHistoryJudged = "all input was processed, and the history was judged";

ScenarioFactory transaction_scenario();

}  // namespace weir::simulation
