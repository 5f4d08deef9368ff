#include "coordination/group/group_coordinator_state.h"

#include <fmt/format.h>

#include <utility>
#include <variant>

#include "base/counted.h"

namespace weir::coordination {

// --- the log --------------------------------------------------------------------------------------------------------

Result<void> GroupCoordinatorState::replay(int64_t /*offset*/, const Origin& /*origin*/, Bytes key, std::optional<Bytes> value) {
  auto record = parse_group_record(key, value);
  if (!record) return std::unexpected(record.error());
  context_.apply(std::move(*record));
  return {};
}

void GroupCoordinatorState::loaded(const ImagePtr& image, Instant now, Effects& effects) {
  context_.image = image;
  // Offsets before a tombstone of their group still belong to a group without members.
  for (const auto& [group_id, offsets] : context_.offsets.groups()) {
    if (context_.groups.find(group_id) == nullptr) context_.groups.find_or_make_classic(group_id);
  }
  for (auto& [group_id, group] : context_.groups.all()) {
    std::visit([&](ClassicGroup& classic) { classic_.loaded(classic, now, effects); }, group);
  }
  sweep_.loaded(now);
}

void GroupCoordinatorState::image_changed(const ImageChange& change, Instant now, Effects& /*effects*/) {
  context_.image = change.after;
  sweep_.topics_deleted(change.deleted, now);
}

std::vector<CoordinatorRecord> GroupCoordinatorState::snapshot() const {
  std::vector<CoordinatorRecord> records;
  for (const auto& [id, group] : context_.groups.all()) {
    for (const GroupRecord& record : stored_records(group)) records.push_back(encode(record));
  }
  for (const auto& [id, topics] : context_.offsets.groups()) {
    for (const auto& [topic, partitions] : topics) {
      for (const auto& [partition, offset] : partitions) records.push_back(encode(OffsetEntry{id, topic, partition, offset}));
    }
  }
  return records;
}

std::string GroupCoordinatorState::summary() const {
  if (group_count() == 0) return {};
  return fmt::format("{} with {}", counted(group_count(), "group"), counted(offset_count(), "offset"));
}

// --- time -----------------------------------------------------------------------------------------------------------

void GroupCoordinatorState::tick(Instant now, Effects& effects) {
  while (const auto due = context_.deadlines.pop(now.monotonic_ms)) {
    if (due->kind == DeadlineKind::kOffsetCheck) {
      sweep_.check(now);
    } else if (due->kind == DeadlineKind::kSweep) {
      sweep_.slice(now, effects);
    } else if (Group* group = context_.groups.find(due->group_id); group != nullptr && !context_.is_kept_back(due->group_id)) {
      std::visit([&](ClassicGroup& classic) { classic_.due(classic, *due, now, effects); }, *group);
    }
  }
}

void GroupCoordinatorState::abandon(ErrorCode error, Effects& effects) {
  for (auto& [group_id, group] : context_.groups.all()) {
    std::visit([&](ClassicGroup& classic) { classic_.abandon(classic, error, effects); }, group);
  }
}

// --- members --------------------------------------------------------------------------------------------------------

void GroupCoordinatorState::join(JoinRequest request, JoinReply reply, Instant now, Effects& effects) {
  classic_.join(std::move(request), std::move(reply), now, effects);
}

void GroupCoordinatorState::sync(SyncRequest request, SyncReply reply, Instant now, Effects& effects) {
  classic_.sync(std::move(request), std::move(reply), now, effects);
}

void GroupCoordinatorState::heartbeat(const HeartbeatRequest& request, HeartbeatReply reply, Instant now, Effects& effects) {
  classic_.heartbeat(request, std::move(reply), now, effects);
}

void GroupCoordinatorState::leave(const LeaveRequest& request, LeaveReply reply, Instant now, Effects& effects) {
  classic_.leave(request, std::move(reply), now, effects);
}

// --- offsets --------------------------------------------------------------------------------------------------------

ErrorCode GroupCoordinatorState::may_commit(const OffsetCommitRequest& request, Instant now) {
  Group* group = context_.groups.find(request.group_id);
  if (group == nullptr) {
    if (request.generation < 0) return ErrorCode::kNone;
    return request.group_not_found_known ? ErrorCode::kGroupIdNotFound : ErrorCode::kIllegalGeneration;
  }
  return std::visit([&](ClassicGroup& classic) { return classic_.may_commit(classic, request, now); }, *group);
}

void GroupCoordinatorState::commit_offsets(const OffsetCommitRequest& request, OffsetCommitReply reply, Instant now,
                                           Effects& effects) {
  if (const ErrorCode error = may_commit(request, now); error != ErrorCode::kNone) {
    OffsetCommitResult refused;
    refused.error = error;
    refused.items.assign(request.items.size(), error);
    return effects.answer(std::move(reply), std::move(refused));
  }
  offsets_.commit(request, std::move(reply), now, effects);
}

void GroupCoordinatorState::fetch_offsets(const OffsetFetchRequest& request, OffsetFetchReply reply, Effects& effects) {
  offsets_.fetch(request, std::move(reply), effects);
}

void GroupCoordinatorState::delete_offsets(const OffsetDeleteRequest& request, OffsetDeleteReply reply, Instant now,
                                           Effects& effects) {
  offsets_.remove(request, std::move(reply), now, effects);
}

// --- administration -------------------------------------------------------------------------------------------------

void GroupCoordinatorState::describe(const std::string& group_id, DescribeReply reply, Effects& effects) {
  GroupDescription result;
  if (const Group* group = context_.groups.find(group_id)) {
    result = coordination::describe(*group);
  } else {
    result.group_id = group_id;
    result.error = ErrorCode::kGroupIdNotFound;
  }
  effects.answer(std::move(reply), std::move(result));
}

void GroupCoordinatorState::list(ListReply reply, Effects& effects) {
  ListResult result;
  for (const auto& [id, group] : context_.groups.all()) {
    result.groups.push_back({id, std::string(protocol_type(group)), state_name(group), type_name(group)});
  }
  effects.answer(std::move(reply), std::move(result));
}

void GroupCoordinatorState::delete_group(const std::string& group_id, const std::string& from, DeleteGroupReply reply,
                                         Instant now, Effects& effects) {
  DeleteGroupResult result;
  const Group* group = context_.groups.find(group_id);
  if (group == nullptr) {
    result.error = ErrorCode::kGroupIdNotFound;
  } else if (!is_empty(*group)) {
    result.error = ErrorCode::kNonEmptyGroup;
  } else {
    offsets_.remove_all(group_id, effects);
    context_.remove(group_id, "is deleted by " + from, now, effects);
  }
  effects.answer(std::move(reply), result);
}

// --- memory ---------------------------------------------------------------------------------------------------------

int64_t GroupCoordinatorState::memory_bytes() const {
  int64_t bytes = context_.offsets.memory_bytes();
  for (const auto& [id, group] : context_.groups.all()) bytes += coordination::memory_bytes(group);
  return bytes;
}

int64_t GroupCoordinatorState::counted_memory_bytes() const {
  int64_t bytes = context_.offsets.memory_bytes();
  for (const auto& [id, group] : context_.groups.all()) bytes += coordination::counted_memory_bytes(group);
  return bytes;
}

}  // namespace weir::coordination
