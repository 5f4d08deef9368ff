// GroupCoordinatorState: committed offsets.
#include <algorithm>
#include <iterator>
#include <utility>

#include "coordination/group/group_coordinator_state.h"

namespace weir::coordination {

size_t GroupCoordinatorState::offset_count() const {
  size_t count = 0;
  for (const auto& [group_id, topics] : offsets_) {
    for (const auto& [topic, partitions] : topics) count += partitions.size();
  }
  return count;
}

const CommittedOffset* GroupCoordinatorState::find_offset(std::string_view group_id, std::string_view topic,
                                                          int32_t partition) const {
  const auto group = offsets_.find(group_id);
  if (group == offsets_.end()) return nullptr;
  const auto partitions = group->second.find(topic);
  if (partitions == group->second.end()) return nullptr;
  const auto offset = partitions->second.find(partition);
  return offset == partitions->second.end() ? nullptr : &offset->second;
}

// --- commit ---------------------------------------------------------------------------------------------------------

// Who may commit: members of the current generation, and anybody as long as the group has no members.
ErrorCode GroupCoordinatorState::validate_commit(const OffsetCommitRequest& request, Instant now) {
  ClassicGroup* group = find(request.group_id);
  if (group == nullptr) {
    if (request.generation < 0) return ErrorCode::kNone;
    return request.group_not_found_known ? ErrorCode::kGroupIdNotFound : ErrorCode::kIllegalGeneration;
  }
  const bool empty = group->in(ClassicGroupState::kEmpty);
  if (request.generation < 0 && empty) return ErrorCode::kNone;
  if (request.generation < 0 && request.member_id.empty() && !request.instance_id) return ErrorCode::kUnknownMemberId;
  const ErrorCode error = group->validate_member(request.member_id, request.instance_id);
  if (error != ErrorCode::kNone) return error;
  if (request.generation != group->generation()) return ErrorCode::kIllegalGeneration;
  if (group->in(ClassicGroupState::kCompletingRebalance)) return ErrorCode::kRebalanceInProgress;
  // A commit is a sign of life.
  if (const ClassicMember* member = group->find(request.member_id)) expect_heartbeat(*group, *member, now);
  return ErrorCode::kNone;
}

void GroupCoordinatorState::commit_offsets(const OffsetCommitRequest& request, OffsetCommitReply reply, Instant now,
                                           Effects& effects) {
  OffsetCommitResult result;
  result.error = validate_commit(request, now);
  result.items.assign(request.items.size(), result.error);
  if (result.error != ErrorCode::kNone) return effects.answer(std::move(reply), std::move(result));
  for (size_t i = 0; i < request.items.size(); ++i) {
    const OffsetCommitRequest::Item& item = request.items[i];
    if (item.metadata.size() > static_cast<size_t>(config_.offset_metadata_max_bytes)) {
      result.items[i] = ErrorCode::kOffsetMetadataTooLarge;
      continue;
    }
    CommittedOffset offset;
    offset.offset = item.offset;
    offset.leader_epoch = item.leader_epoch < 0 ? -1 : item.leader_epoch;
    offset.metadata = item.metadata;
    offset.commit_timestamp_ms = now.wall_ms;
    offset.topic_id = item.topic_id;
    if (request.retention_ms >= 0) {
      // Without a topic id and a leader epoch: the format that has an expiry time does not have them.
      offset.expire_timestamp_ms = now.wall_ms + std::min(request.retention_ms, INT64_MAX - now.wall_ms);
      offset.leader_epoch = -1;
      offset.topic_id = Uuid();
    }
    find_or_create(request.group_id);
    effects.records.push_back(offset_commit_record(request.group_id, item.topic, item.partition, offset));
    offsets_[request.group_id][item.topic][item.partition] = std::move(offset);
  }
  effects.answer(std::move(reply), std::move(result));
}

// --- fetch ----------------------------------------------------------------------------------------------------------

void GroupCoordinatorState::fetch_offsets(const OffsetFetchRequest& request, OffsetFetchReply reply, Effects& effects) {
  OffsetFetchResult result;
  const auto add = [&](const std::string& topic, int32_t partition, const CommittedOffset* offset) {
    FetchedOffset& item = result.items.emplace_back();
    item.topic = topic;
    item.partition = partition;
    if (offset == nullptr) return;
    item.topic_id = offset->topic_id;
    item.offset = offset->offset;
    item.leader_epoch = offset->leader_epoch;
    item.metadata = offset->metadata;
  };
  if (request.all) {
    if (const auto group = offsets_.find(request.group_id); group != offsets_.end()) {
      for (const auto& [topic, partitions] : group->second) {
        for (const auto& [partition, offset] : partitions) add(topic, partition, &offset);
      }
    }
    return effects.answer(std::move(reply), std::move(result));
  }
  result.items.reserve(request.items.size());
  for (const OffsetFetchRequest::Item& item : request.items) {
    const CommittedOffset* offset = find_offset(request.group_id, item.topic, item.partition);
    // What was committed to a topic of that name before this one was created is not this topic's.
    const bool other_topic = offset != nullptr && !offset->topic_id.is_zero() && !item.topic_id.is_zero() &&
                             offset->topic_id != item.topic_id;
    add(item.topic, item.partition, other_topic ? nullptr : offset);
  }
  effects.answer(std::move(reply), std::move(result));
}

// --- deletion -------------------------------------------------------------------------------------------------------

void GroupCoordinatorState::delete_offsets(const OffsetDeleteRequest& request, OffsetDeleteReply reply, Effects& effects) {
  OffsetDeleteResult result;
  ClassicGroup* group = find(request.group_id);
  if (group == nullptr) {
    result.error = ErrorCode::kGroupIdNotFound;
  } else if (!group->in(ClassicGroupState::kEmpty) && !group->uses_consumer_protocol()) {
    result.error = ErrorCode::kNonEmptyGroup;
  }
  result.items.assign(request.items.size(), result.error);
  if (result.error != ErrorCode::kNone) return effects.answer(std::move(reply), std::move(result));
  for (size_t i = 0; i < request.items.size(); ++i) {
    const OffsetDeleteRequest::Item& item = request.items[i];
    if (group->subscribed_to(item.topic)) {
      result.items[i] = ErrorCode::kGroupSubscribedToTopic;
    } else if (find_offset(request.group_id, item.topic, item.partition) != nullptr) {
      effects.records.push_back(offset_tombstone(request.group_id, item.topic, item.partition));
      replay_offset({request.group_id, item.topic, item.partition, std::nullopt});
    }
  }
  effects.answer(std::move(reply), std::move(result));
}

void GroupCoordinatorState::delete_all_offsets(const std::string& group_id, Effects& effects) {
  const auto group = offsets_.find(group_id);
  if (group == offsets_.end()) return;
  for (const auto& [topic, partitions] : group->second) {
    for (const auto& [partition, offset] : partitions) effects.records.push_back(offset_tombstone(group_id, topic, partition));
  }
  offsets_.erase(group);
}

// --- expiry ---------------------------------------------------------------------------------------------------------

void GroupCoordinatorState::check_offsets(Instant now, Effects& effects) {
  std::vector<std::string> gone;
  for (auto& [group_id, group] : groups_) {
    const bool none_left = expire_offsets(*group, now, effects);
    if (none_left && group->in(ClassicGroupState::kEmpty) && group->pending_members().empty()) gone.push_back(group_id);
  }
  for (const std::string& group_id : gone) remove_group(group_id, effects);
}

// Retention of a group with a protocol counts from when it lost its last member; of offsets that no member subscribes to,
// or of a group that never had members, from their commit.
bool GroupCoordinatorState::offset_expired(const ClassicGroup& group, const CommittedOffset& offset, int64_t wall_ms) const {
  int64_t since_ms = offset.commit_timestamp_ms;
  if (group.protocol_type()) {
    if (group.in(ClassicGroupState::kEmpty)) {
      if (group.state_timestamp_ms() >= 0) since_ms = group.state_timestamp_ms();
    } else if (!group.uses_consumer_protocol() || !group.knows_subscriptions() || !group.in(ClassicGroupState::kStable)) {
      return false;
    }
  }
  if (offset.expire_timestamp_ms >= 0) return wall_ms >= offset.expire_timestamp_ms;
  return wall_ms - since_ms >= config_.offsets_retention_ms;
}

// True if the group has no offsets left.
bool GroupCoordinatorState::expire_offsets(ClassicGroup& group, Instant now, Effects& effects) {
  const auto offsets = offsets_.find(group.id());
  if (offsets == offsets_.end()) return true;
  for (auto topic = offsets->second.begin(); topic != offsets->second.end();) {
    if (!group.subscribed_to(topic->first)) {
      std::erase_if(topic->second, [&](const auto& entry) {
        if (!offset_expired(group, entry.second, now.wall_ms)) return false;
        effects.records.push_back(offset_tombstone(group.id(), topic->first, entry.first));
        return true;
      });
    }
    topic = topic->second.empty() ? offsets->second.erase(topic) : std::next(topic);
  }
  if (!offsets->second.empty()) return false;
  offsets_.erase(offsets);
  return true;
}

}  // namespace weir::coordination
