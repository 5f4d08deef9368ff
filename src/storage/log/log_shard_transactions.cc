// LogShard: what begins and ends transactions in its partitions, and which are open.
#include <algorithm>
#include <utility>

#include "protocol/record_batch_builder.h"
#include "storage/log/log_shard.h"

namespace weir::storage {

using protocol::ErrorCode;

namespace {

bool in_transaction(const ProducerEntry* entry, int16_t epoch) {
  return entry && entry->transaction_first_offset >= 0 && entry->producer_epoch == epoch;
}

ErrorCode error_of(const ProducerState::Verdict& verdict, const BatchInfo& info, const LogConfig& config) {
  AppendResult result;
  if (verdict.check != ProducerCheck::kAccept) describe_verdict(verdict, info, config, result);
  return result.error;
}

BatchInfo info_of(const TransactionalBatch& batch) {
  BatchInfo info;
  info.attributes = BatchInfo::kTransactional;
  info.producer_id = batch.producer_id;
  info.producer_epoch = batch.producer_epoch;
  return info;
}

BatchInfo info_of(const MarkerAppend& marker) {
  BatchInfo info;
  info.attributes = BatchInfo::kTransactional | BatchInfo::kControl;
  info.producer_id = marker.producer_id;
  info.producer_epoch = marker.producer_epoch;
  info.control_type = marker.commit ? BatchInfo::kCommit : BatchInfo::kAbort;
  info.coordinator_epoch = marker.coordinator_epoch;
  info.transaction_version = marker.transaction_version;
  return info;
}

ProducerState::Verdict judge_marker(const Partition& partition, const BatchInfo& info,
                                    const std::optional<int64_t>& only_first_offset) {
  const ProducerEntry* const entry = partition.producers().find(info.producer_id);
  const int64_t open = entry ? entry->transaction_first_offset : -1;
  if (only_first_offset && open != *only_first_offset) return {ProducerCheck::kNoTransaction};
  return partition.producers().check_marker(info);
}

}  // namespace

void LogShard::append(Partition& partition, Slice records, bool client, Function<void(AppendResult)> done,
                      AppendOptions options) {
  std::vector<AppendStage> stages;
  if (client && options.guard != kNoGuard) {
    stages.push_back([this, guard = options.guard](AwaitedAppend& /*append*/, Function<void(AppendResult)> answered) {
      guards_.when_answered(guard, std::move(answered));
    });
  }
  admission_.append(partition, std::move(records), client, std::move(done), options, std::move(stages));
}

ProducerState::Verdict LogShard::judge(const Partition& partition, const CheckedAppend& append, const BatchInfo& info) const {
  if (info.control()) return judge_marker(partition, info, append.options.only_first_offset);
  const GuardState guard = guards_.state(partition.id(), info, append.options.guard);
  // Coordinators write for a producer, and have no sequence.
  return append.from == AppendFrom::kBroker ? partition.producers().check_coordinator(info, guard)
                                            : partition.producers().check(info, guard);
}

Verification LogShard::check_producer(Partition& partition, const TransactionalBatch& batch) {
  // Such an append is refused in any case.
  if (partition.of_shard.dropped || partition.of_shard.releasing || partition.offline() || wal_->ended()) return {};
  const ProducerEntry* const entry = partition.producers().find(batch.producer_id);
  const bool stale = entry && batch.producer_epoch < entry->producer_epoch;
  if (stale || in_transaction(entry, batch.producer_epoch)) return {};
  return guards_.guard(partition.id(), batch, runtime_.clock->wall_ms());
}

void LogShard::verified(GuardSerial guard, const AppendResult& answer) { guards_.answered(guard, answer); }

void LogShard::when_verified(GuardSerial guard, Function<void(AppendResult)> answered) {
  guards_.when_answered(guard, std::move(answered));
}

ErrorCode LogShard::check_batch(const Partition& partition, const TransactionalBatch& batch, GuardSerial guard) const {
  const BatchInfo info = info_of(batch);
  const GuardState state = guards_.state(partition.id(), info, guard);
  return error_of(partition.producers().check_coordinator(info, state), info, partition.config());
}

ErrorCode LogShard::check_marker(const Partition& partition, const MarkerAppend& marker) const {
  const BatchInfo info = info_of(marker);
  return error_of(judge_marker(partition, info, marker.only_first_offset), info, partition.config());
}

void LogShard::append_marker(Partition& partition, const MarkerAppend& marker, Function<void(AppendResult)> done) {
  protocol::RecordBatchBuilder builder(
      {.producer_id = marker.producer_id, .producer_epoch = marker.producer_epoch, .transactional = true, .control = true});
  builder.append_end_marker(runtime_.clock->wall_ms(), marker.commit, marker.coordinator_epoch);
  append(partition, Slice::copy_of(builder.finish()), false, std::move(done),
         {.transaction_version = marker.transaction_version, .only_first_offset = marker.only_first_offset});
}

void LogShard::note_transactions(Partition& partition) {
  const bool open = !partition.state().open_transactions().empty();
  if (open == std::exchange(partition.of_shard.in_transaction, open)) return;
  if (open) in_transaction_.insert(partition.id());
  else in_transaction_.erase(partition.id());
}

// Those of partitions that take no marker now are nothing that the caller could do anything about.
OpenTransactions LogShard::list_open_transactions(const OpenTransactions::Position& from) const {
  OpenTransactions all;
  size_t looks = 0;
  for (auto id = in_transaction_.lower_bound(from.partition); id != in_transaction_.end(); ++id, ++looks) {
    const int64_t begin = *id == from.partition ? from.first_offset : 0;
    if (looks >= kOpenTransactionsListed) {
      all.next = {*id, begin};
      return all;
    }
    const Partition& partition = *partitions_.at(*id);
    if (partition.offline() || partition.of_shard.releasing) continue;
    const auto& open = partition.state().open_transactions();
    for (auto at = open.lower_bound(begin); at != open.end(); ++at, ++looks) {
      if (looks >= kOpenTransactionsListed) {
        all.next = {*id, at->first};
        return all;
      }
      const ProducerEntry& entry = *partition.producers().find(at->second);
      all.found.push_back({*id, at->first, at->second, entry.producer_epoch, entry.coordinator_epoch, entry.last_timestamp});
    }
  }
  return all;
}

}  // namespace weir::storage
