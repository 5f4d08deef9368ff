// Judges who owns the partitions of a group: intervals of owners never overlap, a generation has one owner, generations only
// rise.
//
// An interval begins when the member learns of its assignment. It ends when the member gives the partition up and the coordinator
// takes that. The interval of a member that was thrown out ends with its last heartbeat or commit of an offset that the
// coordinator took: until then the coordinator counted it as the owner. The checker needs neither a session timeout nor a clock.
// If epochs are the members' own, they rise for each member, and a member may hand its epoch over when it leaves.
#pragma once

#include "testing/history/anomaly.h"

namespace weir::testing {

// Takes time in the order of n log n.
void check_ownership(const History& history, Report& report);

}  // namespace weir::testing
