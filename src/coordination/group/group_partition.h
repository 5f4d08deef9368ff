// A group coordinator at work: a partition of `__consumer_offsets`.
#pragma once

#include "coordination/group/group_coordinator_state.h"
#include "coordination/runtime/coordinator_partition.h"

namespace weir::coordination {

using GroupPartition = CoordinatorPartition<GroupCoordinatorState>;

}  // namespace weir::coordination
