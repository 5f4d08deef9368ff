#include "testing/history/recovered_log.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/check.h"

namespace weir::testing {

using Fate = RecordedTransaction::Fate;

RecoveredLog::RecoveredLog(const History& history) : history_(history) {
  offsets_.resize(history.operations.size(), -1);
  seen_by_.resize(history.operations.size(), kNoOperation);
  entries_.resize(history.names.size());
  find_operations();
  find_reads();
  find_entries();
}

void RecoveredLog::find_operations() {
  const auto& operations = history_.operations;
  const auto of = [this](OperationId begin) -> RecordedTransaction* {
    if (begin == kNoOperation) return nullptr;
    return &transactions_[transaction_indexes_.at(begin)];
  };
  for (OperationId id = 0; id < operations.size(); ++id) {
    const Operation& operation = operations[id];
    if (std::holds_alternative<Begin>(operation.body)) {
      transaction_indexes_[id] = transactions_.size();
      transactions_.push_back({.begin = id, .sends = {}, .offsets = {}});
    } else if (const auto* sent = std::get_if<Send>(&operation.body)) {
      WEIR_CHECK(sent->value != 0 && sends_.emplace(sent->value, id).second);
      offsets_[id] = sent->offset;
      if (auto* transaction = of(sent->transaction)) transaction->sends.push_back(id);
    } else if (const auto* offsets = std::get_if<SendOffsets>(&operation.body)) {
      of(offsets->transaction)->offsets.push_back(id);
    } else if (const auto* end = std::get_if<EndTransaction>(&operation.body); end && end->commit) {
      RecordedTransaction& transaction = *of(end->transaction);
      if (transaction.commit == kNoOperation) transaction.commit = id;
      if (operation.outcome == Outcome::kUnknown) transaction.fate = std::max(transaction.fate, Fate::kUnknown);
      if (operation.outcome == Outcome::kOk) decide(end->transaction, id);
    }
  }
}

void RecoveredLog::decide(OperationId begin, OperationId evidence) {
  RecordedTransaction& transaction = transactions_[transaction_indexes_.at(begin)];
  if (transaction.fate == Fate::kCommitted) return;
  transaction.fate = Fate::kCommitted;
  transaction.evidence = evidence;
}

void RecoveredLog::find_reads() {
  for (OperationId id = 0; id < history_.operations.size(); ++id) {
    const Operation& operation = history_.operations[id];
    const auto* poll = std::get_if<Poll>(&operation.body);
    if (!poll || operation.outcome != Outcome::kOk) continue;
    for (const PolledRange& range : poll->ranges) {
      for (const PolledRecord& record : range.records) {
        const OperationId send = plausible_send(range.partition, record);
        if (send == kNoOperation) continue;
        if (offsets_[send] < 0) offsets_[send] = record.offset;
        if (poll->isolation != Isolation::kReadCommitted) continue;
        const RecordedTransaction* transaction = transaction_of_send(send);
        if (transaction && !may_show(*transaction, operation.completed)) continue;
        if (seen_by_[send] == kNoOperation) seen_by_[send] = id;
        if (transaction) decide(transaction->begin, id);
      }
    }
  }
}

void RecoveredLog::find_entries() {
  for (OperationId id = 0; id < history_.operations.size(); ++id) {
    if (offsets_[id] >= 0) entries_[send(id).partition].push_back({offsets_[id], id});
  }
  for (Entries& entries : entries_) {
    std::sort(entries.begin(), entries.end(), [](const Entry& one, const Entry& other) {
      return std::pair(one.offset, one.send) < std::pair(other.offset, other.send);
    });
  }
}

OperationId RecoveredLog::send_of(uint64_t value) const {
  const auto found = sends_.find(value);
  return found == sends_.end() ? kNoOperation : found->second;
}

OperationId RecoveredLog::plausible_send(NameId partition, const PolledRecord& record) const {
  const OperationId id = send_of(record.value);
  if (id == kNoOperation || operation(id).outcome == Outcome::kFail) return kNoOperation;
  const Send& sent = send(id);
  return sent.partition == partition && sent.key == record.key ? id : kNoOperation;
}

const RecordedTransaction* RecoveredLog::transaction(OperationId begin) const {
  const auto found = transaction_indexes_.find(begin);
  return found == transaction_indexes_.end() ? nullptr : &transactions_[found->second];
}

std::string RecoveredLog::fate_of_send(OperationId id) const {
  const RecordedTransaction* transaction = transaction_of_send(id);
  if (!transaction) return {};
  const auto in = fmt::format(" in transaction #{}", transaction->begin);
  switch (transaction->fate) {
    case Fate::kAborted:
      if (transaction->commit == kNoOperation) return in + ", which nobody wanted to commit";
      return fmt::format("{}, whose commit #{} failed", in, transaction->commit);
    case Fate::kUnknown:
      return fmt::format("{}, whose commit #{} has no answer", in, transaction->commit);
    case Fate::kCommitted:
      if (transaction->evidence == transaction->commit) return fmt::format("{}, committed by #{}", in, transaction->commit);
      return fmt::format("{}, whose commit #{} has no answer and happened, as #{} shows", in, transaction->commit,
                         transaction->evidence);
  }
  return in;
}

bool RecoveredLog::may_show(const RecordedTransaction& transaction, uint64_t time) const {
  return transaction.fate != Fate::kAborted && operation(transaction.commit).invoked < time;
}

bool RecoveredLog::must_be_visible(OperationId id) const {
  if (seen_by_[id] != kNoOperation) return true;
  if (operation(id).outcome != Outcome::kOk) return false;
  const RecordedTransaction* transaction = transaction_of_send(id);
  return !transaction || transaction->fate == Fate::kCommitted;
}

}  // namespace weir::testing
