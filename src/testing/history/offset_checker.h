// Judges the committed offsets of groups, and that each record of a group's input is processed exactly once.
//
// A group's offsets of a partition only rise. An offset that a client fetches was committed, by a request or by a transaction. If
// transactions process the group's records (Begin::group, Send::cause), each record below the committed offset has exactly one
// visible output, and no other record has one.
#pragma once

#include "testing/history/anomaly.h"
#include "testing/history/recovered_log.h"

namespace weir::testing {

// Decides the branches of transactions whose offsets were fetched and cannot be from anybody else. Comes before all checks.
void decide_by_offsets(RecoveredLog& log);

// Takes time in the order of n log n. Exactly once needs a complete committed poll of all partitions of input and output, and a
// fetch of stable offsets after it.
void check_offsets(const RecoveredLog& log, Report& report);

}  // namespace weir::testing
