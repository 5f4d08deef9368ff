// A transaction coordinator at work: a partition of `__transaction_state`.
#pragma once

#include "coordination/runtime/coordinator_partition.h"
#include "coordination/transaction/transaction_coordinator_state.h"

namespace weir::coordination {

using TransactionPartition = CoordinatorPartition<TransactionCoordinatorState>;

}  // namespace weir::coordination
