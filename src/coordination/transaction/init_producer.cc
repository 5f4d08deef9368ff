// InitProducerId: a producer takes over its transactional id, and those before it are fenced.
#include <utility>

#include "coordination/transaction/transaction_coordinator_state.h"

namespace weir::coordination {

void TransactionCoordinatorState::init_producer(InitProducerRequest request, InitProducerReply reply, Instant now,
                                                Effects& effects) {
  const Outcome outcome = init(request, now, effects);
  wake_completed(now, effects);
  InitProducerResult result{outcome.error};
  if (outcome.waits) {
    if (waiting_inits_.size() < kWaitingForIdMax) {
      waiting_inits_.push_back({std::move(request), std::move(reply)});
      return context_.producer_ids.ask_for_waiting(waiting_inits_.size(), effects);
    }
    result.error = ErrorCode::kCoordinatorLoadInProgress;
  } else if (outcome.error == ErrorCode::kNone) {
    const Transaction& transaction = *context_.transactions.find(request.transactional_id);
    result.producer_id = transaction.is.producer_id;
    result.producer_epoch = transaction.is.producer_epoch;
  }
  effects.answer(std::move(reply), result);
}

TransactionCoordinatorState::Outcome TransactionCoordinatorState::init(const InitProducerRequest& request, Instant now,
                                                                       Effects& effects) {
  const bool given = request.producer_id != -1;
  if (given != (request.producer_epoch != -1) || request.transactional_id.empty()) return {ErrorCode::kInvalidRequest};
  if (request.timeout_ms <= 0 || request.timeout_ms > context_.config.transaction_max_timeout_ms) {
    return {ErrorCode::kInvalidTransactionTimeout};
  }
  Transaction* transaction = context_.transactions.find(request.transactional_id);
  if (transaction == nullptr) return init_new(request, now, effects);
  const TransactionMetadata& is = transaction->is;
  // Before anything else: the producer may have the id and epoch already that come with the end.
  if (is_being_ended(is.state)) return {ErrorCode::kConcurrentTransactions};
  // The previous id with its last epoch: a retry of the request that gave the producer its present id.
  const bool known = is.producer_epoch == -1 || request.producer_id == is.producer_id ||
                     (request.producer_id == is.previous_producer_id && TransactionEndings::exhausted(request.producer_epoch));
  if (given && !known) return {ErrorCode::kProducerFenced};
  if (is.state == TransactionState::kOngoing) return {init_open(*transaction, request, now, effects)};
  return init_ended(*transaction, request, now, effects);
}

TransactionCoordinatorState::Outcome TransactionCoordinatorState::init_new(const InitProducerRequest& request, Instant now,
                                                                           Effects& effects) {
  if (context_.memory.full_for_ids()) {
    context_.warn_of_memory(now);
    return {ErrorCode::kCoordinatorNotAvailable};
  }
  const std::optional<int64_t> producer_id = context_.producer_ids.take(effects);
  if (!producer_id) return {.waits = true};
  TransactionMetadata to;
  to.producer_id = *producer_id;
  to.producer_epoch = 0;
  to.timeout_ms = request.timeout_ms;
  to.last_update_ms = now.wall_ms;
  return {context_.emit(request.transactional_id, std::move(to), effects) ? ErrorCode::kNone : ErrorCode::kUnknownServerError};
}

// The open transaction is aborted first. The client comes again, and gets an epoch that nobody has had.
ErrorCode TransactionCoordinatorState::init_open(Transaction& transaction, const InitProducerRequest& request, Instant now,
                                                 Effects& effects) {
  const bool stale = request.producer_id != -1 && request.producer_epoch < transaction.is.producer_epoch &&
                     request.producer_epoch != transaction.last_epoch;
  if (stale) return ErrorCode::kProducerFenced;
  const ErrorCode error = endings_.fence(transaction, now, effects);
  return error == ErrorCode::kNone ? ErrorCode::kConcurrentTransactions : error;
}

TransactionCoordinatorState::Outcome TransactionCoordinatorState::init_ended(Transaction& transaction,
                                                                             const InitProducerRequest& request, Instant now,
                                                                             Effects& effects) {
  const TransactionMetadata& was = transaction.is;
  const bool given = request.producer_id != -1;
  const bool present = !given || was.producer_epoch == -1 || request.producer_epoch == was.producer_epoch;
  const bool retry = !present && request.producer_epoch == transaction.last_epoch;
  if (!present && !retry) return {ErrorCode::kProducerFenced};
  TransactionMetadata to = was;
  int16_t last_epoch = transaction.last_epoch;
  if (present) {
    last_epoch = given ? was.producer_epoch : int16_t{-1};
    if (TransactionEndings::exhausted(was.producer_epoch)) {
      const std::optional<int64_t> producer_id = context_.producer_ids.take(effects);
      if (!producer_id) return {.waits = true};
      to.producer_id = *producer_id;
      to.producer_epoch = 0;
    } else {
      to.producer_epoch = static_cast<int16_t>(was.producer_epoch + 1);
    }
  }
  to.state = TransactionState::kEmpty;
  to.timeout_ms = request.timeout_ms;
  to.start_ms = -1;
  to.last_update_ms = now.wall_ms;
  if (!context_.emit(transaction.id, std::move(to), effects)) return {ErrorCode::kUnknownServerError};
  transaction.last_epoch = last_epoch;
  return {};
}

void TransactionCoordinatorState::producer_id_arrived(const ControllerResult& result, Instant now, Effects& effects) {
  context_.producer_ids.arrived(result);
  if (result.error != ErrorCode::kNone) {
    for (WaitingInit& waiting : std::exchange(waiting_inits_, {})) {
      effects.answer(std::move(waiting.reply), InitProducerResult{ErrorCode::kCoordinatorLoadInProgress});
    }
    return;
  }
  // Judged anew: another one may have taken over the transactional id, or made it, since.
  while (!waiting_inits_.empty() && context_.producer_ids.any()) {
    WaitingInit waiting = std::move(waiting_inits_.front());
    waiting_inits_.pop_front();
    init_producer(std::move(waiting.request), std::move(waiting.reply), now, effects);
  }
}

}  // namespace weir::coordination
