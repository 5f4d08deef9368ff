#include "coordination/transaction/transaction_coordinator_state.h"

#include <algorithm>
#include <utility>

#include "base/counted.h"
#include "storage/types.h"

namespace weir::coordination {
namespace {

using Kind = TransactionDeadline::Kind;

// So that many of one time do not hold up others.
constexpr size_t kDuePerTick = 256;
constexpr size_t kExpiryPerSlice = 512;
// What could not be done because no producer id was ready, or because records may not be as large any more.
constexpr int64_t kTimeoutAgainMs = 100;

}  // namespace

// --- requests -------------------------------------------------------------------------------------------------------

void TransactionCoordinatorState::add_partitions(AddPartitionsRequest request, AddPartitionsReply reply, Instant now,
                                                 Effects& effects) {
  additions_.add(std::move(request), std::move(reply), now, effects);
}

void TransactionCoordinatorState::describe(const std::string& transactional_id, DescribeTransactionReply reply, Instant /*now*/,
                                           Effects& effects) {
  TransactionDescription result;
  result.transactional_id = transactional_id;
  const Transaction* transaction = context_.transactions.find(transactional_id);
  if (transactional_id.empty()) {
    result.error = ErrorCode::kInvalidRequest;
  } else if (transaction == nullptr) {
    result.error = ErrorCode::kTransactionalIdNotFound;
  } else {
    result.state = name_of(transaction->is.state);
    result.timeout_ms = transaction->is.timeout_ms;
    result.start_ms = transaction->is.start_ms;
    result.producer_id = transaction->is.producer_id;
    result.producer_epoch = transaction->is.producer_epoch;
    size_t number = 0;
    for (const TransactionTopic& topic : transaction->is.partitions.topics()) {
      TransactionTopic left{topic.name, {}};
      for (const int32_t index : topic.indexes) {
        const bool done = transaction->ending && transaction->ending->parts[number++].done;
        if (!done) left.indexes.push_back(index);
      }
      if (!left.indexes.empty()) result.topics.push_back(std::move(left));
    }
  }
  effects.answer(std::move(reply), std::move(result));
}

void TransactionCoordinatorState::list(const ListTransactionsRequest& request, ListTransactionsReply reply, Instant now,
                                       Effects& effects) {
  const auto& [states, producer_ids, duration_ms] = request;
  ListTransactionsResult result;
  for (const auto& [id, transaction] : context_.transactions.all()) {
    const TransactionMetadata& is = transaction->is;
    if (!producer_ids.empty() && !std::ranges::binary_search(producer_ids, is.producer_id)) continue;
    if (!states.empty() && std::ranges::find(states, name_of(is.state)) == states.end()) continue;
    if (duration_ms >= 0 && storage::ms_between(is.start_ms, now.wall_ms) <= duration_ms) continue;
    result.transactions.push_back({std::string(id), is.producer_id, name_of(is.state)});
  }
  effects.answer(std::move(reply), std::move(result));
}

void TransactionCoordinatorState::wake_completed(Instant now, Effects& effects) {
  for (const std::string& id : endings_.take_completed()) {
    if (Transaction* transaction = context_.transactions.find(id)) additions_.wake(*transaction, now, effects);
  }
}

// --- StateMachine ---------------------------------------------------------------------------------------------------

Result<void> TransactionCoordinatorState::replay(int64_t /*offset*/, const Origin& /*origin*/, Bytes key,
                                                 std::optional<Bytes> value) {
  Result<TransactionRecord> record = parse_transaction_record(key, value);
  if (!record) return std::unexpected(record.error());
  context_.transactions.apply(std::move(*record));
  return {};
}

void TransactionCoordinatorState::loaded(const ImagePtr& image, Instant now, Effects& effects) {
  context_.image = image;
  context_.deadlines.set({Kind::kExpiryCheck}, now.monotonic_ms + context_.config.remove_expired_interval_ms);
  const Transactions::Open open = context_.transactions.open();  // resume() may take one out
  for (const auto& [start_ms, id] : open) {
    Transaction& transaction = *context_.transactions.find(id);
    if (is_being_ended(transaction.is.state)) {
      endings_.resume(transaction, now, effects);
      continue;
    }
    const int64_t timeout_ms = std::max(transaction.is.timeout_ms, 0);
    const int64_t past_ms = std::clamp<int64_t>(storage::ms_between(start_ms, now.wall_ms), 0, timeout_ms);
    context_.set_timeout(transaction, timeout_ms - past_ms, now);
  }
  wake_completed(now, effects);
}

void TransactionCoordinatorState::image_changed(const ImageChange& change, Instant /*now*/, Effects& /*effects*/) {
  context_.image = change.after;
}

void TransactionCoordinatorState::arrived(const Token& token, std::any result, Instant now, Effects& effects) {
  switch (static_cast<TransactionWork>(token.kind)) {
    case TransactionWork::kProducerId:
      return producer_id_arrived(std::any_cast<ControllerResult>(result), now, effects);
    case TransactionWork::kMarker:
      endings_.marker_arrived(token, result, now, effects);
      return wake_completed(now, effects);
  }
}

void TransactionCoordinatorState::tick(Instant now, Effects& effects) {
  for (size_t i = 0; i < kDuePerTick; ++i) {
    const std::optional<TransactionDeadline> deadline = context_.deadlines.pop(now.monotonic_ms);
    if (!deadline) return;
    due(*deadline, now, effects);
  }
}

void TransactionCoordinatorState::due(const TransactionDeadline& deadline, Instant now, Effects& effects) {
  if (deadline.kind == Kind::kExpiryCheck) {
    context_.deadlines.set({Kind::kExpiryCheck}, now.monotonic_ms + context_.config.remove_expired_interval_ms);
    next_to_expire_.clear();
    return expire_slice(now, effects);
  }
  if (deadline.kind == Kind::kExpirySlice) return expire_slice(now, effects);
  Transaction* transaction = context_.transactions.find(deadline.transactional_id);
  if (transaction == nullptr) return;
  if (deadline.kind == Kind::kParked) return additions_.due(*transaction, now, effects);
  if (deadline.kind == Kind::kTimeout) time_out(*transaction, now, effects);
  else endings_.retry(*transaction, now, effects);
  wake_completed(now, effects);
}

void TransactionCoordinatorState::time_out(Transaction& transaction, Instant now, Effects& effects) {
  if (transaction.is.state != TransactionState::kOngoing || transaction.times_out_ms > now.monotonic_ms) return;
  if (endings_.fence(transaction, now, effects) != ErrorCode::kNone) {
    return context_.set_timeout(transaction, kTimeoutAgainMs, now);
  }
  ++context_.totals.timeouts;
  context_.tell(transaction, LogLevel::kInfo, "is aborted: its time is over", now);
}

// Idle ids that were not used for long, some of them at a time.
void TransactionCoordinatorState::expire_slice(Instant now, Effects& effects) {
  const Transactions::Map& all = context_.transactions.all();
  auto at = all.lower_bound(next_to_expire_);
  std::vector<std::string> expired;
  for (size_t i = 0; i < kExpiryPerSlice && at != all.end(); ++i, ++at) {
    const TransactionMetadata& is = at->second->is;
    const bool old = storage::ms_between(is.last_update_ms, now.wall_ms) >= context_.config.transactional_id_expiration_ms;
    if (old && !is_open(is.state)) expired.emplace_back(at->first);
  }
  const bool finished = at == all.end();
  if (!finished) {
    next_to_expire_ = at->first;
    context_.deadlines.set({Kind::kExpirySlice}, now.monotonic_ms + 1);
  }
  for (const std::string& id : expired) context_.emit_tombstone(id, effects);
  context_.totals.expired_ids += expired.size();
}

void TransactionCoordinatorState::abandon(ErrorCode error, Effects& effects) {
  additions_.abandon(error, effects);
  for (WaitingInit& waiting : std::exchange(waiting_inits_, {})) {
    effects.answer(std::move(waiting.reply), InitProducerResult{error});
  }
}

std::string TransactionCoordinatorState::summary() const {
  const size_t count = context_.transactions.all().size();
  return count == 0 ? "" : counted(count, "transactional id");
}

std::vector<CoordinatorRecord> TransactionCoordinatorState::snapshot() const {
  std::vector<CoordinatorRecord> records;
  for (const auto& [id, transaction] : context_.transactions.all()) {
    records.push_back(encode({transaction->id, transaction->is}, TransactionVersion::kTwo));
  }
  return records;
}

// --- for metrics and sweeps -----------------------------------------------------------------------------------------

TransactionTotals TransactionCoordinatorState::totals() const {
  TransactionTotals totals = context_.totals;
  totals.by_state = context_.transactions.by_state();
  totals.parked = additions_.parked();
  totals.markers_outstanding = endings_.markers_outstanding();
  totals.markers_to_retry = endings_.markers_to_retry();
  const Transactions::Open& open = context_.transactions.open();
  if (!open.empty()) totals.oldest_open_start_ms = open.begin()->first;
  return totals;
}

void TransactionCoordinatorState::each_claim(const ClaimVisitor& visit) const {
  for (const auto& [start_ms, id] : context_.transactions.open()) {
    const TransactionMetadata& is = context_.transactions.find(id)->is;
    for (const TransactionPartitions::Topic& topic : is.partitions.topics()) {
      for (const int32_t index : topic.indexes) visit(is.producer_id, topic.name, index);
    }
  }
}

}  // namespace weir::coordination
