#include "broker/coordinators/verification.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "base/check.h"
#include "broker/broker.h"
#include "broker/coordinators/transaction_coordinators.h"

namespace weir::broker {

using coordination::AddPartitionsResult;
using protocol::ErrorCode;
using storage::AppendResult;

namespace {

AppendResult to_be_sent_again(ErrorCode error) {
  AppendResult answer;
  answer.error = ErrorCode::kNotEnoughReplicas;
  answer.message = fmt::format("Unable to verify the partition has been added to the transaction. Underlying error: {}",
                               protocol::error_name(error));
  return answer;
}

}  // namespace

AppendResult verification_answer(ErrorCode error, const VerifiedRequest& request) {
  if (error == ErrorCode::kProducerFenced) error = ErrorCode::kInvalidProducerEpoch;
  if (error == ErrorCode::kTransactionAbortable && !request.knows_abortable) error = ErrorCode::kInvalidTxnState;
  AppendResult answer;
  answer.error = error;
  if (!request.produces) return answer;
  switch (error) {
    case ErrorCode::kCoordinatorLoadInProgress:
    case ErrorCode::kCoordinatorNotAvailable:
    case ErrorCode::kNotCoordinator:
      return to_be_sent_again(error);
    case ErrorCode::kConcurrentTransactions:
      return request.adds() ? answer : to_be_sent_again(error);
    case ErrorCode::kInvalidTxnState:
      answer.message = "Partition was not added to the transaction";
      return answer;
    default:
      return answer;
  }
}

VerificationQuestion::VerificationQuestion(const VerifiedRequest& request, std::string_view transactional_id, int64_t producer_id,
                                           int16_t producer_epoch)
    : request_(request) {
  asked_.transactional_id = transactional_id;
  asked_.producer_id = producer_id;
  asked_.producer_epoch = producer_epoch;
  asked_.version = request.transaction_version;
  asked_.verify_only = !request.adds();
}

storage::GuardSerial VerificationQuestion::guard(BrokerShard& shard, storage::Partition& partition, int32_t base_sequence) {
  const storage::Verification needed =
      shard.log.check_producer(partition, {.producer_id = asked_.producer_id,
                                           .producer_epoch = asked_.producer_epoch,
                                           .base_sequence = base_sequence,
                                           .transaction_version = static_cast<int16_t>(asked_.version)});
  if (needed.ask) {
    const Topic* topic = shard.image->find(partition.id().topic);
    WEIR_CHECK(topic != nullptr);  // image and log change in one task
    asked_.partitions.push_back({topic->name(), partition.id().index});
    guards_.push_back(needed.guard);
  }
  return needed.guard;
}

void VerificationQuestion::ask(Coordinators& coordinators, BrokerShard& shard) {
  if (guards_.empty()) return;
  auto answered = [&shard, &totals = coordinators.transactions.verifications(), began_ns = shard.loop.clock().monotonic_ns(),
                   request = request_, guards = std::move(guards_)](const AddPartitionsResult& result) {
    totals.times.observe_ns(shard.index(), shard.loop.clock().monotonic_ns() - began_ns);
    for (size_t i = 0; i < guards.size(); ++i) {
      const bool of_each = result.error == ErrorCode::kNone && !result.partition_errors.empty();
      const ErrorCode error = of_each ? result.partition_errors.at(i) : result.error;
      if (error != ErrorCode::kNone) totals.refused.add(shard.index());
      shard.log.verified(guards[i], verification_answer(error, request));
    }
  };
  if (!request_.adds() && !shard.image->config()->boolean("transaction.partition.verification.enable")) return answered({});
  // It costs a producer much to send its batches again.
  Broker& broker = coordinators.broker;
  if (request_.adds() && request_.produces) asked_.wait_ms = broker.settings().add_partitions_to_txn_retry_backoff_max_ms;
  const int32_t coordinator = coordinator_hash(asked_.transactional_id);
  coordinators.transactions.call_partition<AddPartitionsResult>(
      shard.index(), coordinator,
      [&broker, home = shard.index(), answered = std::move(answered)](AddPartitionsResult result) mutable {
        broker.run_on(home, [answered = std::move(answered), result = std::move(result)] { answered(result); });
      },
      [asked = std::move(asked_)](auto& state, auto reply, auto now, auto& effects) mutable {
        state.add_partitions(std::move(asked), std::move(reply), now, effects);
      });
}

}  // namespace weir::broker
