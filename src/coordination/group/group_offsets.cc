// GroupCoordinatorState: committed offsets.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/utf16.h"
#include "coordination/group/group_coordinator_state.h"

namespace weir::coordination {

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
    // Bytes by its name; Kafka counts UTF-16 units.
    if (utf16_length(item.metadata) > static_cast<size_t>(config_.offset_metadata_max_bytes) ||
        static_cast<int64_t>(item.metadata.size()) > group_bytes_max_ / 2) {
      result.items[i] = ErrorCode::kOffsetMetadataTooLarge;
      continue;
    }
    if (memory_.full(GroupMemory::For::kOffset) && offsets_.find(request.group_id, item.topic, item.partition) == nullptr) {
      warn_of_memory(now);
      result.items[i] = ErrorCode::kCoordinatorNotAvailable;  // clients try again
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
    effects.append(offset_commit_record(request.group_id, item.topic, item.partition, offset));
    ++totals_.offsets_committed;
    offsets_.put(request.group_id, item.topic, item.partition, std::move(offset));
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
    if (const auto* topics = offsets_.topics(request.group_id)) {
      for (const auto& [topic, partitions] : *topics) {
        for (const auto& [partition, offset] : partitions) add(topic, partition, &offset);
      }
    }
    return effects.answer(std::move(reply), std::move(result));
  }
  result.items.reserve(request.items.size());
  for (const OffsetFetchRequest::Item& item : request.items) {
    const CommittedOffset* offset = offsets_.find(request.group_id, item.topic, item.partition);
    // What was committed to a topic of that name before this one was created is not this topic's.
    const bool other_topic =
        offset != nullptr && !offset->topic_id.is_zero() && !item.topic_id.is_zero() && offset->topic_id != item.topic_id;
    add(item.topic, item.partition, other_topic ? nullptr : offset);
  }
  effects.answer(std::move(reply), std::move(result));
}

// --- deletion -------------------------------------------------------------------------------------------------------

void GroupCoordinatorState::delete_offsets(const OffsetDeleteRequest& request, OffsetDeleteReply reply, Instant now,
                                           Effects& effects) {
  OffsetDeleteResult result;
  ClassicGroup* group = find(request.group_id);
  if (group == nullptr) {
    result.error = ErrorCode::kGroupIdNotFound;
  } else if (!group->in(ClassicGroupState::kEmpty) && !group->uses_consumer_protocol()) {
    result.error = ErrorCode::kNonEmptyGroup;
  }
  result.items.assign(request.items.size(), result.error);
  if (result.error != ErrorCode::kNone) return effects.answer(std::move(reply), std::move(result));
  constexpr size_t kToldMax = 10;
  size_t deleted = 0;
  std::string told;
  for (size_t i = 0; i < request.items.size(); ++i) {
    const OffsetDeleteRequest::Item& item = request.items[i];
    if (group->subscribed_to(item.topic)) {
      result.items[i] = ErrorCode::kGroupSubscribedToTopic;
    } else if (offsets_.find(request.group_id, item.topic, item.partition) != nullptr) {
      effects.append(offset_tombstone(request.group_id, item.topic, item.partition));
      ++totals_.offsets_deleted;
      offsets_.erase(request.group_id, item.topic, item.partition);
      if (deleted++ < kToldMax) told += fmt::format("{}{}-{}", told.empty() ? "" : ", ", item.topic, item.partition);
    }
  }
  if (deleted > kToldMax) told += ", ...";
  if (deleted > 0) tell(*group, fmt::format("loses {} committed offsets ({}), deleted by {}", deleted, told, request.from), now);
  effects.answer(std::move(reply), std::move(result));
}

void GroupCoordinatorState::delete_all_offsets(const std::string& group_id, Effects& effects) {
  offsets_.erase_if(group_id, [&](const std::string& topic, int32_t partition, const CommittedOffset&) {
    effects.append(offset_tombstone(group_id, topic, partition));
    return true;
  });
}

}  // namespace weir::coordination
