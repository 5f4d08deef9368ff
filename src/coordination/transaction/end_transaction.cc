// EndTxn: a client commits or aborts its transaction.
#include <utility>

#include "coordination/transaction/transaction_coordinator_state.h"

namespace weir::coordination {

void TransactionCoordinatorState::end_transaction(const EndTransactionRequest& request, EndTransactionReply reply, Instant now,
                                                  Effects& effects) {
  const EndTransactionResult result = end(request, now, effects);
  wake_completed(now, effects);
  effects.answer(std::move(reply), result);
}

EndTransactionResult TransactionCoordinatorState::end(const EndTransactionRequest& request, Instant now, Effects& effects) {
  if (request.transactional_id.empty()) return {ErrorCode::kInvalidRequest};
  Transaction* transaction = context_.transactions.find(request.transactional_id);
  if (transaction == nullptr) return {ErrorCode::kInvalidProducerIdMapping};
  if (request.version == TransactionVersion::kTwo) return end_two(*transaction, request, now, effects);
  return {end_one(*transaction, request, now, effects)};
}

// The producer and its epoch stay the same from one transaction to the next.
ErrorCode TransactionCoordinatorState::end_one(Transaction& transaction, const EndTransactionRequest& request, Instant now,
                                               Effects& effects) {
  const TransactionMetadata& is = transaction.is;
  if (is.producer_id != request.producer_id) return ErrorCode::kInvalidProducerIdMapping;
  if (is.producer_epoch != request.producer_epoch) return ErrorCode::kProducerFenced;
  if (is_being_ended(is.state)) return ErrorCode::kConcurrentTransactions;
  if (is.state == TransactionState::kOngoing) return endings_.decide(transaction, {.commit = request.commit}, now, effects);
  const TransactionState same = request.commit ? TransactionState::kCompleteCommit : TransactionState::kCompleteAbort;
  return is.state == same ? ErrorCode::kNone : ErrorCode::kInvalidTxnState;
}

// The epoch rises with each end, so it says which transaction a request is about. A retry has the epoch before, or the last epoch
// of the producer id before.
EndTransactionResult TransactionCoordinatorState::end_two(Transaction& transaction, const EndTransactionRequest& request,
                                                          Instant now, Effects& effects) {
  const TransactionMetadata& is = transaction.is;
  // Before anything else: the producer may have the id and epoch already that come with the end.
  if (is_being_ended(is.state)) return {ErrorCode::kConcurrentTransactions};
  const bool ended = is.state == TransactionState::kCompleteCommit || is.state == TransactionState::kCompleteAbort;
  const bool of_id_before = request.producer_id == is.previous_producer_id &&
                            request.producer_epoch == TransactionEndings::kLastEpoch - 1 && is.producer_epoch == 0;
  if (is.producer_id != request.producer_id && !of_id_before) return {ErrorCode::kInvalidProducerIdMapping};
  const bool retry = ended && (of_id_before || request.producer_epoch == is.producer_epoch - 1);
  if (!retry && request.producer_epoch != is.producer_epoch) return {ErrorCode::kProducerFenced};
  if (retry) {
    const bool committed = is.state == TransactionState::kCompleteCommit;
    if (committed == request.commit) return {ErrorCode::kNone, is.producer_id, is.producer_epoch};
    // A client does not change its mind: the coordinator aborted the transaction, and the commit was under way (KAFKA-20785).
    return {request.commit ? ErrorCode::kProducerFenced : ErrorCode::kInvalidTxnState};
  }
  const bool empty = is.state != TransactionState::kOngoing;
  if (empty && request.commit) return {ErrorCode::kInvalidTxnState};
  const TransactionEndings::Decision decision{.commit = request.commit, .version = TransactionVersion::kTwo, .empty = empty};
  const ErrorCode error = endings_.decide(transaction, decision, now, effects);
  if (error != ErrorCode::kNone) return {error};
  // The producer id and epoch of the completed transaction, even if it is not complete yet.
  if (is.next_producer_id >= 0) return {ErrorCode::kNone, is.next_producer_id, 0};
  return {ErrorCode::kNone, is.producer_id, is.producer_epoch};
}

}  // namespace weir::coordination
