#include "coordination/group/group_coordinator_state.h"

#include <fmt/format.h>

#include <utility>

#include "base/check.h"
#include "base/counted.h"
#include "base/log.h"

namespace weir::coordination {

ClassicGroup* GroupCoordinatorState::find(std::string_view group_id) {
  const auto at = groups_.find(group_id);
  return at == groups_.end() ? nullptr : at->second.get();
}

ClassicGroup& GroupCoordinatorState::find_or_create(const std::string& group_id) {
  auto& group = groups_[group_id];
  if (!group) group = std::make_unique<ClassicGroup>(group_id, memory_, &state_counts_);
  return *group;
}

// --- replay ---------------------------------------------------------------------------------------------------------

Result<void> GroupCoordinatorState::replay(int64_t /*offset*/, const Origin& /*origin*/, Bytes key, std::optional<Bytes> value) {
  auto entry = parse_group_record(key, value);
  if (!entry) return std::unexpected(entry.error());
  if (auto* group = std::get_if<GroupMetadataEntry>(&*entry)) replay_group(std::move(*group));
  if (auto* offset = std::get_if<OffsetEntry>(&*entry)) replay_offset(std::move(*offset));
  return {};
}

void GroupCoordinatorState::replay_group(GroupMetadataEntry entry) {
  groups_.erase(entry.group_id);
  if (!entry.value) return;
  GroupMetadataEntry::Value& value = *entry.value;
  ClassicGroup& group = find_or_create(entry.group_id);
  for (auto& stored : value.members) {
    if (group.find(stored.id) != nullptr || (stored.instance_id && group.static_member(*stored.instance_id))) continue;
    auto member = std::make_unique<ClassicMember>();
    member->id = std::move(stored.id);
    member->instance_id = std::move(stored.instance_id);
    member->client_id = std::move(stored.client_id);
    member->client_host = std::move(stored.client_host);
    member->rebalance_timeout_ms = stored.rebalance_timeout_ms;
    member->session_timeout_ms = stored.session_timeout_ms;
    if (value.protocol_name) member->protocols = {{*value.protocol_name, std::move(stored.subscription)}};
    member->assignment = std::move(stored.assignment);
    group.add(std::move(member), value.protocol_type);
  }
  std::optional<std::string> type;
  if (!value.protocol_type.empty()) type = std::move(value.protocol_type);
  group.restore(std::move(type), std::move(value.protocol_name), std::move(value.leader), value.generation,
                value.state_timestamp_ms);
}

void GroupCoordinatorState::replay_offset(OffsetEntry entry) {
  if (!entry.value) return offsets_.erase(entry.group_id, entry.topic, entry.partition);
  const bool first = offsets_.put(entry.group_id, entry.topic, entry.partition, std::move(*entry.value));
  if (first) find_or_create(entry.group_id);
}

void GroupCoordinatorState::loaded(const ImagePtr& image, Instant now, Effects& effects) {
  image_ = image;
  // Offsets whose group's tombstone came after them still belong to a group without members.
  for (const auto& [group_id, offsets] : offsets_.groups()) find_or_create(group_id);
  for (auto& [group_id, group] : groups_) {
    for (const auto& [member_id, member] : group->members()) expect_heartbeat(*group, *member, now);
    if (group->members().size() <= static_cast<size_t>(config_.max_size) || is_kept_back(group_id)) continue;
    if (group->in(ClassicGroupState::kPreparingRebalance)) continue;
    prepare_rebalance(*group, "more members were loaded than group.max.size allows", now, effects);
  }
  deadlines_.set({DeadlineKind::kOffsetCheck, {}, {}}, now.monotonic_ms + config_.offsets_retention_check_interval_ms);
  // Topics may have been deleted while nobody was there to remove their offsets.
  if (offsets_.count() > 0) begin_sweep(now).loaded_wall_ms = now.wall_ms;
}

// --- time -----------------------------------------------------------------------------------------------------------

void GroupCoordinatorState::tick(Instant now, Effects& effects) {
  while (const auto due = deadlines_.pop(now.monotonic_ms)) {
    if (due->kind == DeadlineKind::kOffsetCheck) {
      begin_sweep(now).expire = true;
      deadlines_.set(*due, now.monotonic_ms + config_.offsets_retention_check_interval_ms);
      continue;
    }
    if (due->kind == DeadlineKind::kSweep) {
      sweep_slice(now, effects);
      continue;
    }
    ClassicGroup* group = find(due->group_id);
    if (group == nullptr || is_kept_back(due->group_id)) continue;
    if (due->kind == DeadlineKind::kMember) member_expired(*group, due->member_id, now, effects);
    if (due->kind == DeadlineKind::kSync) pending_syncs_expired(*group, now, effects);
    if (due->kind == DeadlineKind::kJoin) {
      if (group->initial_wait) initial_wait_over(*group, now, effects);
      else complete_join(*group, now, effects);
    }
  }
}

void GroupCoordinatorState::expect_heartbeat(const ClassicGroup& group, const ClassicMember& member, Instant now) {
  const int64_t timeout_ms = member.is_new ? config_.new_member_join_timeout_ms : member.session_timeout_ms;
  deadlines_.set(member_key(group, member.id), now.monotonic_ms + timeout_ms);
}

void GroupCoordinatorState::set_join_deadline(ClassicGroup& group, int64_t delay_ms, Instant now) {
  deadlines_.set({DeadlineKind::kJoin, group.id(), {}}, now.monotonic_ms + delay_ms);
}

void GroupCoordinatorState::cancel_join_deadline(ClassicGroup& group) {
  group.initial_wait.reset();
  deadlines_.cancel({DeadlineKind::kJoin, group.id(), {}});
}

void GroupCoordinatorState::abandon(ErrorCode error, Effects& effects) {
  for (auto& [group_id, group] : groups_) {
    for (const auto& [member_id, member] : group->members()) answer_waiting(*group, *member, error, effects);
  }
}

// --- administration -------------------------------------------------------------------------------------------------

void GroupCoordinatorState::describe(const std::string& group_id, DescribeReply reply, Effects& effects) {
  GroupDescription result;
  result.group_id = group_id;
  const ClassicGroup* group = find(group_id);
  if (group == nullptr) {
    result.error = ErrorCode::kGroupIdNotFound;
    return effects.answer(std::move(reply), std::move(result));
  }
  result.state = state_name(group->state());
  result.protocol_type = group->protocol_type().value_or("");
  const bool stable = group->in(ClassicGroupState::kStable);
  if (stable) result.protocol_name = group->protocol_name().value_or("");
  for (const auto& [id, member] : group->members()) {
    auto& shown = result.members.emplace_back();
    shown.member_id = id;
    shown.instance_id = member->instance_id;
    shown.client_id = member->client_id;
    shown.client_host = member->client_host;
    if (!stable) continue;
    shown.metadata = member->metadata(result.protocol_name);
    shown.assignment = member->assignment;
  }
  effects.answer(std::move(reply), std::move(result));
}

void GroupCoordinatorState::list(ListReply reply, Effects& effects) {
  ListResult result;
  for (const auto& [id, group] : groups_) {
    result.groups.push_back({id, group->protocol_type().value_or(""), state_name(group->state())});
  }
  effects.answer(std::move(reply), std::move(result));
}

void GroupCoordinatorState::delete_group(const std::string& group_id, const std::string& from, DeleteGroupReply reply,
                                         Instant now, Effects& effects) {
  DeleteGroupResult result;
  const ClassicGroup* group = find(group_id);
  if (group == nullptr) {
    result.error = ErrorCode::kGroupIdNotFound;
  } else if (!group->in(ClassicGroupState::kEmpty)) {
    result.error = ErrorCode::kNonEmptyGroup;
  } else {
    delete_all_offsets(group_id, effects);
    remove_group(group_id, "is deleted by " + from, now, effects);
  }
  effects.answer(std::move(reply), result);
}

// Of a group without members and offsets.
void GroupCoordinatorState::remove_group(const std::string& group_id, std::string_view why, Instant now, Effects& effects) {
  const ClassicGroup* group = find(group_id);
  WEIR_CHECK(group != nullptr && group->members().empty());
  tell(*group, why, now);
  effects.append(group_tombstone(group_id));
  for (const std::string& member_id : group->pending_members()) deadlines_.cancel(member_key(*group, member_id));
  groups_.erase(groups_.find(group_id));
}

// Somebody was refused.
void GroupCoordinatorState::warn_of_memory(Instant now) {
  if (!memory_.refused(now.monotonic_ms)) return;
  log_warn("groups",
           "Groups hold {} of {} MiB: new offsets, groups or members are asked to try again later. Delete groups that are not "
           "needed, or raise weir.max.memory.bytes.",
           memory_.used_bytes() >> 20, memory_.limit_bytes() >> 20);
}

std::string GroupCoordinatorState::summary() const {
  if (groups_.empty()) return {};
  return fmt::format("{} with {}", counted(groups_.size(), "group"), counted(offsets_.count(), "offset"));
}

int64_t GroupCoordinatorState::memory_bytes() const {
  int64_t bytes = offsets_.memory_bytes();
  for (const auto& [id, group] : groups_) bytes += group->memory_bytes();
  return bytes;
}

int64_t GroupCoordinatorState::counted_memory_bytes() const {
  int64_t bytes = offsets_.memory_bytes();
  for (const auto& [id, group] : groups_) bytes += group->counted_memory_bytes();
  return bytes;
}

std::vector<CoordinatorRecord> GroupCoordinatorState::snapshot() const {
  std::vector<CoordinatorRecord> records;
  for (const auto& [id, group] : groups_) {
    if (group->in(ClassicGroupState::kEmpty) || group->in(ClassicGroupState::kStable)) {
      records.push_back(group_metadata_record(*group));
    }
  }
  for (const auto& [id, topics] : offsets_.groups()) {
    for (const auto& [topic, partitions] : topics) {
      for (const auto& [partition, offset] : partitions) records.push_back(offset_commit_record(id, topic, partition, offset));
    }
  }
  return records;
}

}  // namespace weir::coordination
