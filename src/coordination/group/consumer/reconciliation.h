// The step of one member of a consumer group towards its target: what it keeps, what it has to give up first, and what it gets.
// Pure.
//
// A partition has one owner at any time. A member gives up partitions in its old epoch (kUnrevokedPartitions). It has to say that
// it did before it gets the new epoch. In the new epoch it gets the partitions that are free, and waits for the others
// (kUnreleasedPartitions).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "coordination/group/consumer/consumer_records.h"
#include "coordination/group/consumer/topic_partitions.h"

namespace weir::coordination {

struct Reconciliation {
  const CurrentAssignment& current;
  int32_t target_epoch = 0;
  const Assignment& target;
  const Assignment* owned = nullptr;  // what the member says that it has; nullptr: it does not say
  bool subscription_changed = false;  // since its last step
  std::function<bool(const Uuid& topic_id)> subscribed;
  // Nobody else has it.
  std::function<bool(const Uuid& topic_id, int32_t partition)> free;
};

// Whether the member has nothing to do on its way to the epoch.
inline bool reconciled(const CurrentAssignment& current, int32_t target_epoch) {
  return current.state == MemberState::kStable && current.member_epoch == target_epoch;
}

// Equal to `current` if the member cannot go on, or need not. Nothing: its state is one of a later version. It has to give up
// everything and join again.
std::optional<CurrentAssignment> reconcile(const Reconciliation& with);

}  // namespace weir::coordination
