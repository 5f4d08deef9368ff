#include "storage/log/append_admission.h"

#include <fmt/format.h>

#include "storage/log/batch_preparation.h"

namespace weir::storage {

using protocol::ErrorCode;

namespace {
constexpr const char* kCheckpointsFail = "The log cannot be written to its segments (disk full or failing); retry later";

AppendResult not_leader(const Partition& partition) {
  AppendResult result;
  result.error = ErrorCode::kNotLeaderOrFollower;
  result.log_start_offset = partition.log_start_offset();
  result.message = "The partition goes to another owner";
  return result;
}
}  // namespace

AppendAdmission::AppendAdmission(runtime::Runtime& runtime, runtime::Loop& loop, WalBackend& wal,
                                 const LogCheckpointer& checkpointer, const Limits& limits, Admitted admitted,
                                 Function<void()> held)
    : runtime_(runtime),
      wal_(wal),
      checkpointer_(checkpointer),
      limits_(limits),
      admitted_(std::move(admitted)),
      held_back_(std::move(held)),
      awaited_([this](Partition& partition, AwaitedAppend append) { hold_back(partition, std::move(append)); }),
      preparation_(runtime, loop, limits.opening) {}

void AppendAdmission::append(Partition& partition, Slice records, bool client, Function<void(AppendResult)> done,
                             AppendOptions options, std::vector<AppendStage> stages) {
  AwaitedAppend append{std::move(records), client ? AppendFrom::kClient : AppendFrom::kBroker, options, std::move(done)};
  if (!client) return hold_back(partition, std::move(append));
  if (!partition.of_shard.dropped && needs_preparation(append.records.bytes(), partition.config())) {
    stages.push_back([this, &partition](AwaitedAppend& waiting, Function<void(AppendResult)> answered) {
      preparation_.prepare(partition, waiting, std::move(answered));
    });
  }
  const bool waits = !stages.empty() || awaited_.in_line(partition, append.records.bytes());
  if (waits) awaited_.add(partition, std::move(append), std::move(stages));
  else hold_back(partition, std::move(append));
}

// Unless there is room.
void AppendAdmission::hold_back(Partition& partition, AwaitedAppend append) {
  if (append.refusal.error != ErrorCode::kNone) {
    append.refusal.log_start_offset = partition.log_start_offset();
    return append.done(std::move(append.refusal));
  }
  ++partition.traffic().produce_requests;
  if (partition.of_shard.releasing) return append.done(not_leader(partition));
  if (wal_.ended() || (!at_bound() && held_.empty())) return check(partition, std::move(append));
  if (at_bound() && checkpointer_.failing()) return refuse_held(std::move(append), kCheckpointsFail);
  if (append.from == AppendFrom::kBroker) return check(partition, std::move(append));
  held_.push_back({&partition, std::move(append)});
  held_back_();
}

void AppendAdmission::check(Partition& partition, AwaitedAppend append) {
  CheckedAppend checked;
  checked.result.log_start_offset = partition.log_start_offset();
  checked.now_ms = runtime_.clock->wall_ms();
  if (refuse_at_once(partition, append.from, checked.result) ||
      !validate_append(append.records, partition.config(), append.from, checked.now_ms, checked.batches, checked.result)) {
    return append.done(std::move(checked.result));
  }
  checked.records = std::move(append.records);
  checked.from = append.from;
  checked.options = append.options;
  checked.done = std::move(append.done);
  admitted_(partition, std::move(checked));
}

bool AppendAdmission::refuse_at_once(const Partition& partition, AppendFrom from, AppendResult& result) const {
  if (partition.of_shard.dropped) {
    result.error = ErrorCode::kUnknownTopicOrPartition;
    return true;
  }
  if (wal_.ended() || partition.offline()) {
    result.message = partition.offline() ? partition.offline_reason() : "The log directory is offline after a failed write";
  } else if (from != AppendFrom::kBroker && lacks_space()) {
    const auto trouble = wal_.trouble();
    const bool no_space = disk_full_ || !trouble || trouble->code == weir::ErrorCode::kNoSpace;
    result.message = no_space ? "The broker's disk is full; retry later"
                              : fmt::format("The log cannot be written at the moment ({}); retry later", trouble->message);
  } else {
    return false;
  }
  result.error = ErrorCode::kKafkaStorageError;
  return true;
}

void AppendAdmission::checkpoint_ended() {
  while (!held_.empty() && !wal_.ended() && !at_bound()) {
    HeldAppend next = std::move(held_.front());
    held_.pop_front();
    check(*next.partition, std::move(next.append));
  }
  if (checkpointer_.failing()) fail(kCheckpointsFail);
}

void AppendAdmission::fail(const std::string& reason) {
  for (HeldAppend& held : std::exchange(held_, {})) refuse_held(std::move(held.append), reason);
}

void AppendAdmission::released(const Partition& partition) {
  std::vector<Function<void(AppendResult)>> refused;
  std::erase_if(held_, [&](HeldAppend& held) {
    if (held.partition != &partition) return false;
    refused.push_back(std::move(held.append.done));
    return true;
  });
  for (auto& done : refused) done(not_leader(partition));
}

void AppendAdmission::refuse_held(AwaitedAppend append, const std::string& reason) {
  AppendResult refused;
  refused.error = ErrorCode::kKafkaStorageError;
  refused.message = reason;
  append.done(std::move(refused));
}

}  // namespace weir::storage
