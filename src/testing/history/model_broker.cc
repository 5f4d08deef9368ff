#include "testing/history/model_broker.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace weir::testing {

int32_t ModelBroker::init(NameId id) {
  Coordinator& coordinator = coordinators_[id];
  if (coordinator.current >= 0 && transactions_[static_cast<size_t>(coordinator.current)].state == Transaction::kOngoing) {
    decide(coordinator.current, false);
  }
  if (coordinator.current >= 0) finish(coordinator.current);
  return ++coordinator.epoch;
}

int32_t ModelBroker::transaction_of(const ModelProducer& producer, ModelFault unchecked) {
  Coordinator& coordinator = coordinators_[producer.id];
  if (producer.epoch != coordinator.epoch) {
    const bool other =
        coordinator.current >= 0 && transactions_[static_cast<size_t>(coordinator.current)].state == Transaction::kOngoing;
    return other && strikes(unchecked) ? coordinator.current : -1;
  }
  const auto known = by_begin_.find(producer.transaction);
  if (known != by_begin_.end()) {
    return transactions_[static_cast<size_t>(known->second)].state == Transaction::kOngoing ? known->second : -1;
  }
  if (coordinator.current >= 0) finish(coordinator.current);
  const auto transaction = static_cast<int32_t>(transactions_.size());
  transactions_.emplace_back().id = producer.id;
  by_begin_[producer.transaction] = coordinator.current = transaction;
  ongoing_.insert(transaction);
  return transaction;
}

Outcome ModelBroker::send(const ModelProducer& producer, Send& send) {
  Record record{send.key, send.value, -1};
  if (producer.transaction != kNoOperation) {
    record.transaction = transaction_of(producer, ModelFault::kZombieAppends);
    if (record.transaction < 0 && !strikes(ModelFault::kAppendRefused)) return Outcome::kFail;
  } else if (random_.one_in(40)) {
    if (strikes(ModelFault::kAppendRefused)) append(send.partition, record);
    return Outcome::kFail;
  }
  NameId partition = partitions_.try_emplace(send.partition).first->first;
  if (strikes(ModelFault::kMisplaceRecord)) partition = one_of(partitions_)->first;
  Partition& log = partitions_[partition];
  if (record.transaction >= 0) {
    transactions_[static_cast<size_t>(record.transaction)].partitions.insert(partition);
    log.open.try_emplace(record.transaction, static_cast<int64_t>(log.records.size()));
  }
  send.offset = static_cast<int64_t>(log.records.size());
  if (strikes(ModelFault::kLoseAppend)) return Outcome::kOk;
  if (fault_ == ModelFault::kFillHole && log.hole >= 0) {
    send.offset = std::exchange(log.hole, -1);
    log.records[static_cast<size_t>(send.offset)] = record;
    return Outcome::kOk;
  }
  if (strikes(ModelFault::kFillHole)) {
    log.hole = send.offset++;
    log.records.emplace_back();
  }
  append(partition, record);
  if (strikes(ModelFault::kAppendTwice)) append(partition, record);
  return record.transaction < 0 && producer.transaction != kNoOperation ? Outcome::kFail : Outcome::kOk;
}

void ModelBroker::append(NameId partition, const Record& record) { partitions_[partition].records.push_back(record); }

Outcome ModelBroker::send_offsets(const ModelProducer& producer, const SendOffsets& sent) {
  if (sent.generation >= 0 && sent.generation != groups_[sent.group].generation && !strikes(ModelFault::kAnyGeneration)) {
    return Outcome::kFail;
  }
  const int32_t transaction = transaction_of(producer, ModelFault::kZombieAppends);
  if (transaction < 0) return Outcome::kFail;
  Transaction& within = transactions_[static_cast<size_t>(transaction)];
  within.group = sent.group;
  for (const auto& [partition, offset] : sent.offsets) within.offsets[partition] = offset;
  return Outcome::kOk;
}

Outcome ModelBroker::end(const ModelProducer& producer, bool commit) {
  const auto known = by_begin_.find(producer.transaction);
  if (producer.epoch == coordinators_[producer.id].epoch && known == by_begin_.end()) return Outcome::kOk;  // nothing in it
  const int32_t transaction = transaction_of(producer, ModelFault::kZombieCommits);
  if (transaction >= 0) {
    decide(transaction, commit);
    return Outcome::kOk;
  }
  return Outcome::kFail;
}

void ModelBroker::decide(int32_t transaction, bool commit) {
  Transaction& decided = transactions_[static_cast<size_t>(transaction)];
  decided.state = Transaction::kDecided;
  decided.commit = commit;
  ongoing_.erase(transaction);
  decided_.insert(transaction);
}

void ModelBroker::write_marker(int32_t transaction, NameId partition) {
  Transaction& decided = transactions_[static_cast<size_t>(transaction)];
  decided.partitions.erase(partition);
  Partition& log = partitions_[partition];
  log.open.erase(transaction);
  log.markers[transaction] = decided.commit && !strikes(ModelFault::kTornCommit);
  append(partition, {});
}

void ModelBroker::apply_offsets(Transaction& transaction) {
  const bool apply = transaction.commit ? !strikes(ModelFault::kLoseOffsets) : strikes(ModelFault::kApplyAbortedOffsets);
  for (const auto& [partition, offset] : transaction.offsets) {
    if (apply) groups_[transaction.group].offsets[partition] = offset;
  }
  transaction.offsets.clear();
}

void ModelBroker::write_markers() {
  constexpr size_t kMayWait = 6;
  do {
    if (!decided_.empty()) write_some_marker();
  } while (decided_.size() > kMayWait);
}

void ModelBroker::write_some_marker() {
  const int32_t chosen = *one_of(decided_);
  Transaction& transaction = transactions_[static_cast<size_t>(chosen)];
  if (!transaction.offsets.empty() && (transaction.partitions.empty() || random_.one_in(2))) {
    apply_offsets(transaction);
  } else if (!transaction.partitions.empty()) {
    write_marker(chosen, *one_of(transaction.partitions));
  }
  if (transaction.partitions.empty() && transaction.offsets.empty()) finish(chosen);
}

void ModelBroker::finish(int32_t transaction) {
  Transaction& decided = transactions_[static_cast<size_t>(transaction)];
  if (decided.state != Transaction::kDecided) return;
  while (!decided.partitions.empty()) write_marker(transaction, *decided.partitions.begin());
  apply_offsets(decided);
  decided.state = Transaction::kDone;
  decided_.erase(transaction);
}

void ModelBroker::time_out() {
  if (ongoing_.empty()) return;
  const int32_t chosen = *one_of(ongoing_);
  ++coordinators_[transactions_[static_cast<size_t>(chosen)].id].epoch;
  decide(chosen, false);
}

void ModelBroker::settle() {
  while (!ongoing_.empty()) time_out();
  while (!decided_.empty()) finish(*decided_.begin());
}

int64_t ModelBroker::end_of(NameId partition, Isolation isolation) {
  const Partition& log = partitions_[partition];
  auto end = static_cast<int64_t>(log.records.size());
  if (isolation == Isolation::kReadUncommitted || strikes(ModelFault::kReadPastOpen)) return end;
  for (const auto& [transaction, first] : log.open) end = std::min(end, first);
  return end;
}

PolledRange ModelBroker::poll(NameId partition, int64_t from, Isolation isolation, int64_t records_max) {
  PolledRange range{partition, from, std::max(from, std::min(end_of(partition, isolation), from + records_max)), {}};
  const Partition& log = partitions_[partition];
  const int32_t hidden = strikes(ModelFault::kHideCommitted) && !log.markers.empty() ? log.markers.rbegin()->first : -1;
  const bool show_aborted = strikes(ModelFault::kShowAborted);
  if (from > 0 && strikes(ModelFault::kShowAgain)) --from;
  for (int64_t offset = from; offset < range.to; ++offset) {
    const Record& record = log.records[static_cast<size_t>(offset)];
    if (record.value == 0) continue;
    if (isolation == Isolation::kReadCommitted && record.transaction >= 0) {
      const auto marker = log.markers.find(record.transaction);
      const bool aborted = marker != log.markers.end() && !marker->second;
      if ((aborted && !show_aborted) || record.transaction == hidden) continue;
    }
    range.records.push_back({offset, record.key, record.value});
  }
  if (range.records.size() > 1 && strikes(ModelFault::kSkipRecord)) {
    range.records.erase(range.records.begin() + static_cast<int64_t>(random_.below(range.records.size())));
  }
  return range;
}

Outcome ModelBroker::commit(const CommitOffsets& commit) {
  Group& group = groups_[commit.group];
  if (commit.generation >= 0 && commit.generation != group.generation && !strikes(ModelFault::kAnyGeneration))
    return Outcome::kFail;
  for (const auto& [partition, offset] : commit.offsets) group.offsets[partition] = offset;
  return Outcome::kOk;
}

Outcome ModelBroker::fetch(FetchOffsets& fetch) {
  const auto pending = [&](int32_t each, NameId partition) {
    const Transaction& transaction = transactions_[static_cast<size_t>(each)];
    return transaction.group == fetch.group && transaction.offsets.contains(partition);
  };
  for (auto& [partition, offset] : fetch.offsets) {
    for (const auto* transactions : {&ongoing_, &decided_}) {
      const bool unstable = fetch.stable && std::any_of(transactions->begin(), transactions->end(),
                                                        [&, at = partition](int32_t each) { return pending(each, at); });
      if (unstable && !strikes(ModelFault::kShowUnstableOffsets)) return Outcome::kFail;
    }
    const auto& offsets = groups_[fetch.group].offsets;
    const auto committed = offsets.find(partition);
    offset = committed == offsets.end() ? -1 : committed->second;
  }
  return Outcome::kOk;
}

int32_t ModelBroker::join(NameId group) {
  Group& joined = groups_[group];
  if (joined.generation == 0 || !strikes(ModelFault::kGenerationStays)) ++joined.generation;
  return joined.generation;
}

Outcome ModelBroker::leave(const Revoked& revoked) {
  return revoked.generation == groups_[revoked.group].generation ? Outcome::kOk : Outcome::kFail;
}

}  // namespace weir::testing
