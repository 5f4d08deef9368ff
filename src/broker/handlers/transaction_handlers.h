// Transactions: InitProducerId 0-5, AddPartitionsToTxn 0-5, EndTxn 0-5, WriteTxnMarkers 1-2, DescribeTransactions 0,
// ListTransactions 0-2. One .cc each.
//
// As in Apache Kafka 4.4, with these deviations. The pattern of ListTransactions is one of RE2's, and
// INVALID_REGULAR_EXPRESSION if it is too large for a long id. A transactional id that
// DescribeTransactions names again is answered once. Of InitProducerId, a producer that was fenced while its transaction was open
// learns that at once.
//
// Rights that depend on more than the request's type: versions 4 and 5 of AddPartitionsToTxn, which brokers send, need
// CLUSTER_ACTION on the cluster instead of rights to the id and to topics. WriteTxnMarkers needs ALTER or CLUSTER_ACTION on the
// cluster. An InitProducerId without a transactional id needs IDEMPOTENT_WRITE on the cluster, or WRITE on any topic at all.
#pragma once

#include "broker/coordinators/coordinators.h"
#include "broker/coordinators/transaction_coordinators.h"
#include "broker/handlers/coordinator_reply.h"
#include "broker/server/request_context.h"

namespace weir::broker {

void handle_init_producer_id(TransactionCoordinators& transactions, RequestContextPtr context);
void handle_add_partitions_to_txn(TransactionCoordinators& transactions, RequestContextPtr context);
void handle_end_txn(TransactionCoordinators& transactions, RequestContextPtr context);
void handle_write_txn_markers(TransactionCoordinators& transactions, RequestContextPtr context);
void handle_describe_transactions(TransactionCoordinators& transactions, RequestContextPtr context);
void handle_list_transactions(TransactionCoordinators& transactions, RequestContextPtr context);

// Clients of the first versions know no PRODUCER_FENCED.
inline protocol::ErrorCode without_fenced(protocol::ErrorCode error, int16_t version, int16_t first_that_knows) {
  return error == protocol::ErrorCode::kProducerFenced && version < first_that_knows ? protocol::ErrorCode::kInvalidProducerEpoch
                                                                                     : error;
}

}  // namespace weir::broker
