#include "coordination/transaction/partition_additions.h"

#include <algorithm>
#include <utility>

namespace weir::coordination {
namespace {

using Kind = TransactionDeadline::Kind;

// Later records of the same transaction may have so many bytes more: ids and versions.
constexpr int64_t kSpareBytes = 64;

}  // namespace

void PartitionAdditions::add(AddPartitionsRequest request, AddPartitionsReply reply, Instant now, Effects& effects) {
  if (request.verify_only) return effects.answer(std::move(reply), verify(request));
  const auto answer = [&](ErrorCode error) { effects.answer(std::move(reply), AddPartitionsResult{error, {}}); };
  if (request.transactional_id.empty()) return answer(ErrorCode::kInvalidRequest);
  Transaction* transaction = context_.transactions.find(request.transactional_id);
  if (transaction == nullptr) return answer(ErrorCode::kInvalidProducerIdMapping);
  // Before anything else: the producer may have the id and epoch already that come with the end.
  if (is_being_ended(transaction->is.state)) {
    if (!park(*transaction, request, reply, now)) answer(ErrorCode::kConcurrentTransactions);
    return;
  }
  answer(add_to(*transaction, request, now, effects));
}

AddPartitionsResult PartitionAdditions::verify(const AddPartitionsRequest& request) const {
  if (request.transactional_id.empty()) return {ErrorCode::kInvalidRequest, {}};
  const Transaction* transaction = context_.transactions.find(request.transactional_id);
  if (transaction == nullptr || transaction->is.producer_id != request.producer_id) {
    return {ErrorCode::kInvalidProducerIdMapping, {}};
  }
  if (transaction->is.producer_epoch != request.producer_epoch) return {ErrorCode::kProducerFenced, {}};
  if (is_being_ended(transaction->is.state)) return {ErrorCode::kConcurrentTransactions, {}};
  AddPartitionsResult result;
  result.partition_errors.reserve(request.partitions.size());
  for (const TopicPartition& asked : request.partitions) {
    const bool in = transaction->is.partitions.contains(asked.topic, asked.partition);
    result.partition_errors.push_back(in ? ErrorCode::kNone : ErrorCode::kTransactionAbortable);
  }
  return result;
}

ErrorCode PartitionAdditions::add_to(Transaction& transaction, const AddPartitionsRequest& request, Instant now,
                                     Effects& effects) {
  const TransactionMetadata& was = transaction.is;
  if (was.producer_id != request.producer_id) return ErrorCode::kInvalidProducerIdMapping;
  if (was.producer_epoch != request.producer_epoch) return ErrorCode::kProducerFenced;
  const TransactionPartitions asked(request.partitions);
  const bool begins = was.state != TransactionState::kOngoing;
  if (!begins && was.partitions.contains(asked)) return ErrorCode::kNone;
  // The caller's image may be newer. With this one the partition would be taken for one that is gone when its marker is due.
  for (const TopicPartition& one : request.partitions) {
    if (!context_.image->partition(one.topic, one.partition)) return ErrorCode::kCoordinatorLoadInProgress;
  }
  TransactionMetadata to = was;
  to.partitions = was.partitions.united_with(asked);
  if (to.partitions.count() > context_.config.partitions_max) return ErrorCode::kTransactionAbortable;
  if (context_.memory.full_for_partitions()) {
    context_.warn_of_memory(now);
    return ErrorCode::kCoordinatorNotAvailable;
  }
  to.state = TransactionState::kOngoing;
  to.client_version = noted_version(request.version);
  to.last_update_ms = now.wall_ms;
  if (begins) to.start_ms = now.wall_ms;
  if (!context_.emit(transaction.id, std::move(to), effects, kSpareBytes)) return ErrorCode::kTransactionAbortable;
  if (begins) context_.set_timeout(transaction, transaction.is.timeout_ms, now);
  return ErrorCode::kNone;
}

// --- waiting --------------------------------------------------------------------------------------------------------

bool PartitionAdditions::park(Transaction& transaction, AddPartitionsRequest& request, AddPartitionsReply& reply, Instant now) {
  if (request.wait_ms <= 0 || transaction.parked.size() >= kParkedPerId || parked_ >= kParkedMax) return false;
  const int64_t until_ms = now.monotonic_ms + request.wait_ms;
  int64_t first_ms = until_ms;
  for (const ParkedAddition& other : transaction.parked) first_ms = std::min(first_ms, other.until_ms);
  context_.deadlines.set({Kind::kParked, transaction.id}, first_ms);
  transaction.parked.push_back({std::move(request), std::move(reply), until_ms});
  ++parked_;
  return true;
}

void PartitionAdditions::wake(Transaction& transaction, Instant now, Effects& effects) {
  std::vector<ParkedAddition> waited = std::exchange(transaction.parked, {});
  parked_ -= waited.size();
  for (ParkedAddition& one : waited) add(std::move(one.request), std::move(one.reply), now, effects);
}

void PartitionAdditions::due(Transaction& transaction, Instant now, Effects& effects) {
  int64_t next_ms = StateMachine::kNever;
  for (ParkedAddition& one : transaction.parked) {
    if (one.until_ms > now.monotonic_ms) {
      next_ms = std::min(next_ms, one.until_ms);
      continue;
    }
    effects.answer(std::move(one.reply), AddPartitionsResult{ErrorCode::kConcurrentTransactions, {}});
    --parked_;
  }
  std::erase_if(transaction.parked, [&](const ParkedAddition& one) { return one.until_ms <= now.monotonic_ms; });
  if (next_ms != StateMachine::kNever) context_.deadlines.set({Kind::kParked, transaction.id}, next_ms);
}

void PartitionAdditions::abandon(ErrorCode error, Effects& effects) {
  for (const auto& [id, transaction] : context_.transactions.all()) {
    for (ParkedAddition& one : std::exchange(transaction->parked, {})) {
      effects.answer(std::move(one.reply), AddPartitionsResult{error, {}});
    }
  }
  parked_ = 0;
}

}  // namespace weir::coordination
