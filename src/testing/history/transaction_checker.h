// Judges what polls show: nothing of what failed or was aborted, all of what is committed, each record once and in order.
#pragma once

#include "testing/history/anomaly.h"
#include "testing/history/recovered_log.h"

namespace weir::testing {

// Takes time in the order of the records shown, times the logarithm of the log's length.
void check_transactions(const RecoveredLog& log, Report& report);

}  // namespace weir::testing
