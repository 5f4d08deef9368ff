// Commits offsets of a group as part of a transaction (TxnOffsetCommit). The group's coordinator appends them to its partition of
// `__consumer_offsets` in the producer's name, where they are pending until the marker. As with any batch of a transaction, the
// transaction's coordinator is asked first whether that partition is part of it, or to add it (verification.h).
#pragma once

#include "broker/coordinators/coordinators.h"
#include "broker/coordinators/verification.h"
#include "coordination/group/group_messages.h"

namespace weir::broker {

// Called on the shard `home`. The reply comes there or on the shard of the group's coordinator, once the offsets are durable.
void commit_in_transaction(Coordinators& coordinators, unsigned home, coordination::TxnOffsetCommitRequest request,
                           const VerifiedRequest& verified, coordination::OffsetCommitReply reply);

}  // namespace weir::broker
