#include "coordination/transaction/transaction_endings.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "base/printable.h"

namespace weir::coordination {
namespace {

using Part = TransactionEnding::Part;
constexpr int64_t kUnderWay = StateMachine::kNever;

}  // namespace

// --- the decision ---------------------------------------------------------------------------------------------------

ErrorCode TransactionEndings::decide(Transaction& transaction, const Decision& decision, Instant now, Effects& effects) {
  const TransactionMetadata& was = transaction.is;
  const auto raised = static_cast<int16_t>(std::min<int32_t>(was.producer_epoch + 1, kLastEpoch));
  TransactionMetadata to = was;
  to.state = decision.commit ? TransactionState::kPrepareCommit : TransactionState::kPrepareAbort;
  to.client_version = noted_version(decision.version);
  to.next_producer_id = -1;
  to.last_update_ms = now.wall_ms;
  if (decision.empty) to.start_ms = now.wall_ms;
  int16_t last_epoch = transaction.last_epoch;
  if (decision.version == TransactionVersion::kTwo) {
    if (exhausted(was.producer_epoch)) {
      const std::optional<int64_t> next = context_.producer_ids.take(effects);
      if (!next) return ErrorCode::kCoordinatorLoadInProgress;
      to.next_producer_id = *next;
    }
    last_epoch = was.producer_epoch;
    to.producer_epoch = raised;
  } else if (decision.fences) {
    last_epoch = -1;
    to.producer_epoch = raised;
  }
  if (!context_.emit(transaction.id, std::move(to), effects)) return ErrorCode::kUnknownServerError;
  transaction.last_epoch = last_epoch;
  resume(transaction, now, effects);
  return ErrorCode::kNone;
}

ErrorCode TransactionEndings::fence(Transaction& transaction, Instant now, Effects& effects) {
  return decide(transaction, {.version = context_.level.get(), .fences = true}, now, effects);
}

// --- markers --------------------------------------------------------------------------------------------------------

void TransactionEndings::resume(Transaction& transaction, Instant now, Effects& effects) {
  transaction.ending = std::make_unique<TransactionEnding>();
  TransactionEnding& ending = *transaction.ending;
  ending.begun_ms = now.monotonic_ms;
  ending.left = transaction.is.partitions.count();
  ending.first_serial = next_serial_;
  next_serial_ += ending.left;
  outstanding_ += ending.left;
  ending.parts.reserve(ending.left);
  for (const TransactionPartitions::Topic& topic : transaction.is.partitions.topics()) {
    for (const int32_t index : topic.indexes) ending.parts.push_back({topic.name, index});
  }
  if (ending.parts.empty()) return complete(transaction, now, effects);
  being_ended_.emplace(ending.first_serial, &transaction);
  for (uint64_t serial = ending.first_serial; serial < next_serial_; ++serial) to_send_.push_back(serial);
  send_some(now, effects);
}

TransactionEndings::Marker TransactionEndings::find(uint64_t serial) const {
  const auto after = being_ended_.upper_bound(serial);
  if (after == being_ended_.begin()) return {};
  Transaction* const transaction = std::prev(after)->second;
  TransactionEnding& ending = *transaction->ending;
  const uint64_t number = serial - ending.first_serial;
  if (number >= ending.parts.size()) return {};
  return {transaction, &ending.parts[number]};
}

void TransactionEndings::send_some(Instant now, Effects& effects) {
  while (!to_send_.empty() && under_way_ < kUnderWayMax) {
    const Marker marker = find(to_send_.front());
    to_send_.pop_front();
    send(*marker.transaction, *marker.part, effects);
    complete_if_done(*marker.transaction, now, effects);
  }
}

// A partition that is gone needs no marker.
void TransactionEndings::send(Transaction& transaction, Part& part, Effects& effects) {
  TransactionEnding& ending = *transaction.ending;
  const std::optional<storage::PartitionId> to = context_.image->partition(part.topic, part.index);
  if (!to) return finish(ending, part);
  const TransactionMetadata& is = transaction.is;
  WriteMarker message;
  message.marker = {is.producer_id, is.producer_epoch, context_.coordinator_epoch, is.state == TransactionState::kPrepareCommit};
  message.version = is.client_version;
  const uint64_t serial = ending.first_serial + static_cast<uint64_t>(&part - ending.parts.data());
  effects.posts.push_back({{{}, static_cast<int>(TransactionWork::kMarker), serial}, *to, message});
  ++under_way_;
}

void TransactionEndings::finish(TransactionEnding& ending, Part& part) {
  part.done = true;
  --ending.left;
  --outstanding_;
}

void TransactionEndings::marker_arrived(const Token& token, const std::any& result, Instant now, Effects& effects) {
  const Marker marker = find(token.serial);
  if (marker.transaction == nullptr) return;
  Transaction& transaction = *marker.transaction;
  Part& part = *marker.part;
  if (part.done || part.retry_at_ms != kUnderWay) return;
  TransactionEnding& ending = *transaction.ending;
  --under_way_;
  const ErrorCode error = std::any_cast<MarkerWritten>(result).error;
  switch (error) {
    case ErrorCode::kNone:
      ++context_.totals.markers_written;
      finish(ending, part);
      break;
    case ErrorCode::kInvalidProducerEpoch:
      // The partition knows a later epoch of the producer: this transaction is not open there any more.
      context_.tell(transaction, LogLevel::kWarn,
                    fmt::format("ends without a marker in {}-{}, which has seen a later epoch", one_line(part.topic), part.index),
                    now);
      finish(ending, part);
      break;
    default:
      if (!context_.image->partition(part.topic, part.index)) finish(ending, part);
      else fail(transaction, part, error, now);
  }
  complete_if_done(transaction, now, effects);
  send_some(now, effects);
}

void TransactionEndings::fail(Transaction& transaction, Part& part, ErrorCode error, Instant now) {
  const int32_t delay_ms = part.delay_ms == 0 ? kFirstRetryMs : std::min(2 * part.delay_ms, kLongestRetryMs);
  if (std::exchange(part.delay_ms, delay_ms) < delay_ms && delay_ms == kLongestRetryMs)
    tell_waiting(transaction, part, error, now);
  part.retry_at_ms = now.monotonic_ms + part.delay_ms;
  ++to_retry_;
  retry_at(transaction, part.retry_at_ms);
}

void TransactionEndings::tell_waiting(const Transaction& transaction, const Part& part, ErrorCode error, Instant now) {
  std::string what = fmt::format("waits for its marker in {}-{}, which answers {}", one_line(part.topic), part.index,
                                 protocol::error_name(error));
  if (error == ErrorCode::kTransactionCoordinatorFenced) {
    what += fmt::format(
        ": a coordinator with an epoch above {} wrote there (kafka-transactions.sh describe-producers). Each start of Weir "
        "raises "
        "the epoch by one. kafka-transactions.sh abort lets readers of the partition go on; it drops what the transaction wrote "
        "there",
        context_.coordinator_epoch);
  }
  context_.tell(transaction, LogLevel::kWarn, what, now);
}

void TransactionEndings::retry_at(Transaction& transaction, int64_t at_ms) {
  int64_t& next_ms = transaction.ending->next_retry_ms;
  next_ms = std::min(next_ms, at_ms);
  if (next_ms != kUnderWay) context_.deadlines.set({TransactionDeadline::Kind::kMarkers, transaction.id}, next_ms);
}

void TransactionEndings::retry(Transaction& transaction, Instant now, Effects& effects) {
  if (!transaction.ending) return;
  int64_t next_ms = kUnderWay;
  for (Part& part : transaction.ending->parts) {
    if (part.retry_at_ms > now.monotonic_ms) {
      next_ms = std::min(next_ms, part.retry_at_ms);
      continue;
    }
    part.retry_at_ms = kUnderWay;
    --to_retry_;
    ++context_.totals.marker_retries;
    to_send_.push_back(transaction.ending->first_serial + static_cast<uint64_t>(&part - transaction.ending->parts.data()));
  }
  transaction.ending->next_retry_ms = kUnderWay;
  retry_at(transaction, next_ms);
  send_some(now, effects);
}

// --- the end --------------------------------------------------------------------------------------------------------

void TransactionEndings::complete_if_done(Transaction& transaction, Instant now, Effects& effects) {
  if (transaction.ending && transaction.ending->left == 0) complete(transaction, now, effects);
}

void TransactionEndings::complete(Transaction& transaction, Instant now, Effects& effects) {
  context_.totals.endings.add(now.monotonic_ms - transaction.ending->begun_ms);
  being_ended_.erase(transaction.ending->first_serial);
  transaction.ending.reset();  // it points into the record
  const TransactionMetadata& was = transaction.is;
  const bool commit = was.state == TransactionState::kPrepareCommit;
  ++(commit ? context_.totals.commits : context_.totals.aborts);
  TransactionMetadata to = was;
  to.state = commit ? TransactionState::kCompleteCommit : TransactionState::kCompleteAbort;
  to.partitions = {};
  to.last_update_ms = now.wall_ms;
  if (was.client_version == TransactionVersion::kTwo && was.next_producer_id >= 0) {
    to.producer_id = was.next_producer_id;
    to.producer_epoch = 0;
  }
  to.next_producer_id = -1;
  context_.emit_smaller(transaction.id, std::move(to), effects);
  completed_.push_back(transaction.id);
}

}  // namespace weir::coordination
