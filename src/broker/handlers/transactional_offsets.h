// Offsets of a group in a transaction: AddOffsetsToTxn 0-4 (key 25), TxnOffsetCommit 0-6 (key 28). One .cc each.
//
// The partition of `__consumer_offsets` that has the group becomes part of the transaction, by AddOffsetsToTxn or, from version 5
// on (transaction.version 2), by TxnOffsetCommit itself. As in Apache Kafka 4.4, with one deviation: where that topic is not
// there yet, AddOffsetsToTxn creates it.
#pragma once

#include "broker/coordinators/coordinators.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_add_offsets_to_txn(Coordinators& coordinators, RequestContextPtr context);
void handle_txn_offset_commit(Coordinators& coordinators, RequestContextPtr context);

}  // namespace weir::broker
