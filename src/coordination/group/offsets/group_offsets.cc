#include "coordination/group/offsets/group_offsets.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/utf16.h"

namespace weir::coordination {

// --- commit ---------------------------------------------------------------------------------------------------------

// What is known goes on while memory is short. A transaction keeps an offset a second time, and producers can do so without end:
// they leave room for members.
bool GroupOffsets::has_room(const std::string& group_id, const OffsetCommitRequest::Item& item, const Origin& origin) const {
  using For = GroupMemory::For;
  if (!context_.memory.full(For::kOffset)) return true;
  if (origin.transactional) {
    if (context_.pending.find(origin.producer_id, {group_id, item.topic, item.partition}) != nullptr) return true;
    if (context_.memory.full(For::kGroup)) return false;
  }
  return context_.offsets.find(group_id, item.topic, item.partition) != nullptr;
}

ErrorCode GroupOffsets::check(const OffsetCommitRequest& request, const OffsetCommitRequest::Item& item, const Origin& origin,
                              Instant now) {
  // Bytes by its name; Kafka counts UTF-16 units.
  if (utf16_length(item.metadata) > static_cast<size_t>(context_.config.offset_metadata_max_bytes) ||
      static_cast<int64_t>(item.metadata.size()) > context_.record_bytes_max / 2) {
    return ErrorCode::kOffsetMetadataTooLarge;
  }
  if (!has_room(request.group_id, item, origin)) {
    context_.warn_of_memory(now);
    return ErrorCode::kCoordinatorNotAvailable;  // clients try again
  }
  return ErrorCode::kNone;
}

void GroupOffsets::commit(const OffsetCommitRequest& request, const Origin& origin, OffsetCommitReply reply, Instant now,
                          Effects& effects) {
  OffsetCommitResult result;
  for (const OffsetCommitRequest::Item& item : request.items) {
    result.items.push_back(check(request, item, origin, now));
    if (result.items.back() != ErrorCode::kNone) continue;
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
    ++context_.totals.offsets_committed;
    context_.emit(OffsetEntry{request.group_id, item.topic, item.partition, std::move(offset)}, effects, origin);
  }
  effects.answer(std::move(reply), std::move(result));
}

// --- fetch ----------------------------------------------------------------------------------------------------------

void GroupOffsets::fetch(const OffsetFetchRequest& request, OffsetFetchReply reply, Effects& effects) {
  OffsetFetchResult result;
  const auto add = [&](const std::string& topic, int32_t partition, const CommittedOffset* offset) {
    FetchedOffset& item = result.items.emplace_back();
    item.topic = topic;
    item.partition = partition;
    if (offset != nullptr) item.topic_id = offset->topic_id;
    if (request.require_stable && context_.pending.contains({request.group_id, topic, partition})) {
      item.error = ErrorCode::kUnstableOffsetCommit;
      return;
    }
    if (offset == nullptr) return;
    item.offset = offset->offset;
    item.leader_epoch = offset->leader_epoch;
    item.metadata = offset->metadata;
  };
  if (request.all) {
    if (const auto* topics = context_.offsets.topics(request.group_id)) {
      for (const auto& [topic, partitions] : *topics) {
        for (const auto& [partition, offset] : partitions) add(topic, partition, &offset);
      }
    }
    return effects.answer(std::move(reply), std::move(result));
  }
  result.items.reserve(request.items.size());
  for (const OffsetFetchRequest::Item& item : request.items) {
    const CommittedOffset* offset = context_.offsets.find(request.group_id, item.topic, item.partition);
    // An offset of an earlier topic with this name is not this topic's.
    const bool other_topic =
        offset != nullptr && !offset->topic_id.is_zero() && !item.topic_id.is_zero() && offset->topic_id != item.topic_id;
    add(item.topic, item.partition, other_topic ? nullptr : offset);
  }
  effects.answer(std::move(reply), std::move(result));
}

// --- deletion -------------------------------------------------------------------------------------------------------

void GroupOffsets::remove(const OffsetDeleteRequest& request, OffsetDeleteReply reply, Instant now, Effects& effects) {
  OffsetDeleteResult result;
  const Group* group = context_.groups.find(request.group_id);
  result.error = group == nullptr ? ErrorCode::kGroupIdNotFound : may_delete_offsets(*group);
  result.items.assign(request.items.size(), result.error);
  if (result.error != ErrorCode::kNone) return effects.answer(std::move(reply), std::move(result));
  constexpr size_t kToldMax = 10;
  size_t deleted = 0;
  std::string told;
  for (size_t i = 0; i < request.items.size(); ++i) {
    const OffsetDeleteRequest::Item& item = request.items[i];
    if (subscribed_to(*group, item.topic)) {
      result.items[i] = ErrorCode::kGroupSubscribedToTopic;
    } else if (context_.offsets.find(request.group_id, item.topic, item.partition) != nullptr ||
               context_.pending.contains({request.group_id, item.topic, item.partition})) {
      context_.emit(OffsetEntry{request.group_id, item.topic, item.partition, std::nullopt}, effects);
      ++context_.totals.offsets_deleted;
      if (deleted++ < kToldMax) told += fmt::format("{}{}-{}", told.empty() ? "" : ", ", item.topic, item.partition);
    }
  }
  if (deleted > kToldMax) told += ", ...";
  if (deleted > 0) {
    context_.lines.tell(request.group_id,
                        fmt::format("loses {} committed offsets ({}), deleted by {}", deleted, told, request.from), now);
  }
  effects.answer(std::move(reply), std::move(result));
}

void GroupOffsets::remove_all(const std::string& group_id, Effects& effects) {
  std::vector<OffsetEntry> tombstones;
  if (const CommittedOffsets::Topics* topics = context_.offsets.topics(group_id)) {
    for (const auto& [topic, partitions] : *topics) {
      for (const auto& [partition, offset] : partitions) tombstones.push_back({group_id, topic, partition, std::nullopt});
    }
  }
  for (const auto& [of, producers] : context_.pending.partitions_of(group_id)) {
    if (context_.offsets.find(group_id, of.topic, of.partition) != nullptr) continue;  // has one already
    tombstones.push_back({group_id, of.topic, of.partition, std::nullopt});
  }
  for (OffsetEntry& tombstone : tombstones) context_.emit(std::move(tombstone), effects);
}

}  // namespace weir::coordination
