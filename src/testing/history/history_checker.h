// Finds anomalies in a history: all checks of this folder.
#pragma once

#include "testing/history/anomaly.h"

namespace weir::testing {

// The history has to live as long as the report. Takes time in the order of n log n.
Report check_history(const History& history);

}  // namespace weir::testing
