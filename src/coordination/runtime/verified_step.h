// For tests without a coordinator of transactions: as if it had agreed to the transaction that a step writes in.
#pragma once

#include "coordination/runtime/effects.h"
#include "storage/log/log_shard.h"

namespace weir::coordination {

// After the step.
inline void verify(Effects& effects, storage::LogShard& log, const storage::PartitionId& id) {
  for (const LogEntry& entry : effects.log) {
    storage::Partition* const partition = log.find(id);
    if (!entry.origin.transactional || partition == nullptr) continue;
    const auto verification = log.check_producer(*partition, {entry.origin.producer_id, entry.origin.producer_epoch});
    if (verification.ask) log.verified(verification.guard, {});
    effects.options.guard = verification.guard;
    return;
  }
}

}  // namespace weir::coordination
