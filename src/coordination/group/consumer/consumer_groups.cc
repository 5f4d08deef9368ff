// ConsumerGroups: what heartbeats and the end of members have in common, loading, metadata, and the right to use offsets.
#include "coordination/group/consumer/consumer_groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/counted.h"
#include "base/log.h"
#include "base/printable.h"
#include "coordination/group/consumer/metadata_hash.h"

namespace weir::coordination {

// --- epochs and settings --------------------------------------------------------------------------------------------

int64_t ConsumerGroups::hash_of_topic(const std::string& topic) {
  if (const auto known = topic_hashes_.find(topic); known != topic_hashes_.end()) return known->second;
  const int64_t hash = topic_hash(*context_.image, topic);
  if (hash == 0) return hash;
  if (topic_hashes_.size() == kTopicHashesMax) topic_hashes_.clear();
  return topic_hashes_[topic] = hash;
}

int64_t ConsumerGroups::metadata_hash(ConsumerGroup& group) {
  ConsumerGroup::Soft& soft = group.soft;
  if (!soft.topics_changed && soft.hashed_version == group.topics_version()) return soft.hash;
  std::vector<std::pair<std::string_view, int64_t>> topics;
  topics.reserve(group.topics().size());
  for (const auto& [topic, subscribers] : group.topics()) {
    if (const int64_t hash = hash_of_topic(topic); hash != 0) topics.emplace_back(topic, hash);
  }
  soft.hash = group_hash(topics);
  soft.hashed_version = group.topics_version();
  soft.topics_changed = false;
  return soft.hash;
}

void ConsumerGroups::refresh_epoch(ConsumerGroup& group, bool raise, std::string_view why, Instant now, GroupChange& change) {
  const int64_t hash = metadata_hash(group);
  if (hash != group.metadata_hash()) raise = true;
  if (group.has_partition_metadata()) change.emit(ConsumerPartitionMetadataEntry{group.id(), true});
  if (!raise) return;
  const int32_t next = group.epoch() == INT32_MAX ? group.epoch() : group.epoch() + 1;  // a stored record may have any number
  change.emit(ConsumerGroupEntry{group.id(), ConsumerGroupEpoch{next, hash}});
  ++context_.totals.consumer_rebalances;
  context_.lines.tell(
      group.id(), fmt::format("(epoch {}, {}) begins a rebalance: {}", group.epoch(), counted(group.size(), "member"), why), now);
}

const ConsumerGroupSettings& ConsumerGroups::settings(ConsumerGroup& group) const {
  if (group.soft.settings && group.soft.settings->defaults == defaults_) return *group.soft.settings;
  const auto read = [&](std::string_view name, const GroupConfig::Consumer::Bounded& bounds) {
    const auto text = context_.image->group_config(group.id(), name);
    if (!text) return bounds.value;
    int32_t value = bounds.value;
    std::from_chars(text->data(), text->data() + text->size(), value);
    return std::clamp(value, bounds.min, bounds.max);
  };
  auto& settings = group.soft.settings.emplace();
  settings.defaults = defaults_;
  settings.session_timeout_ms = read("consumer.session.timeout.ms", config_.session_timeout_ms);
  settings.heartbeat_interval_ms = read("consumer.heartbeat.interval.ms", config_.heartbeat_interval_ms);
  settings.assignment_interval_ms = read("consumer.assignment.interval.ms", config_.assignment_interval_ms);
  return settings;
}

int32_t ConsumerGroups::session_timeout_ms(ConsumerGroup& group, const ConsumerMember& member) const {
  return member.uses_classic_protocol() ? member.metadata->classic->session_timeout_ms : settings(group).session_timeout_ms;
}

void ConsumerGroups::expect_heartbeat(ConsumerGroup& group, const ConsumerMember& member, Instant now) {
  context_.deadlines.set(session_key(group, member.id), now.monotonic_ms + session_timeout_ms(group, member));
}

void ConsumerGroups::cancel_deadlines(const ConsumerGroup& group, const std::string& member_id) {
  context_.deadlines.cancel(session_key(group, member_id));
  context_.deadlines.cancel(revocation_key(group, member_id));
  context_.deadlines.cancel(join_key(group, member_id));
  context_.deadlines.cancel(sync_key(group, member_id));
}

void ConsumerGroups::expect_revocation(const ConsumerGroup& group, const ConsumerMember& member, Instant now) {
  const DeadlineKey key = revocation_key(group, member.id);
  if (member.current().state != MemberState::kUnrevokedPartitions) return context_.deadlines.cancel(key);
  context_.deadlines.set(key, now.monotonic_ms + std::max(member.metadata->rebalance_timeout_ms, 0));
}

// --- loading and metadata -------------------------------------------------------------------------------------------

// Compaction leaves no such groups: the log lost records, or somebody else wrote them.
std::vector<const ConsumerMember*> ConsumerGroups::broken_members(const ConsumerGroup& group) const {
  const auto owns_all = [&](const ConsumerMember& member, const std::vector<OwnedTopicPartitions>& topics) {
    return std::ranges::all_of(topics, [&](const OwnedTopicPartitions& topic) {
      return std::ranges::all_of(topic.partitions,
                                 [&](int32_t partition) { return group.owner(topic.topic_id, partition) == member.number; });
    });
  };
  std::vector<const ConsumerMember*> broken;
  for (const auto& [id, member] : group.members()) {
    const CurrentAssignment& current = member->current();
    if (member->metadata && owns_all(*member, current.assigned) && owns_all(*member, current.pending_revocation)) continue;
    broken.push_back(member.get());
  }
  return broken;
}

void ConsumerGroups::mend(ConsumerGroup& group, Instant now, Effects& effects) {
  const std::vector<const ConsumerMember*> broken = broken_members(group);
  int32_t highest = group.target_epoch();
  for (const auto& [id, member] : group.members()) highest = std::max(highest, member->epoch());
  if (broken.empty() && highest <= group.epoch()) return;
  log_warn("groups",
           "Group {}: {} removed and its epoch raised, because __consumer_offsets has contradictory or incomplete records",
           quoted(group.id(), 256), counted(broken.size(), "member is", "members are"));
  GroupChange change(context_, effects);
  if (highest > group.epoch()) change.emit(ConsumerGroupEntry{group.id(), ConsumerGroupEpoch{highest, group.metadata_hash()}});
  if (broken.empty()) return refresh_epoch(group, true, "records of it were lost", now, change);
  fence(group, broken, "is removed: its records are contradictory or incomplete", now, change);
}

void ConsumerGroups::loaded(ConsumerGroup& group, Instant now, Effects& effects) {
  topic_hashes_.clear();
  group.soft.topics_changed = true;
  group.soft.settings.reset();
  if (context_.is_kept_back(group.id())) return;
  mend(group, now, effects);
  for (const auto& [id, member] : group.members()) {
    expect_heartbeat(group, *member, now);
    expect_revocation(group, *member, now);
  }
}

void ConsumerGroups::image_changed(const ImageChange& change) {
  if (change.defaults_changed) ++defaults_;
  for (const std::string& topic : change.changed) {
    topic_hashes_.erase(topic);
    const bool created = change.after->has_topic(topic) && !(change.before && change.before->has_topic(topic));
    if (created) newest_topics_ = change.after->version();
    const SubscribedGroups::OfTopic* groups = context_.groups.subscribed().find(topic);
    if (groups == nullptr) continue;
    for (ConsumerGroup* group : *groups) group->soft.topics_changed = true;
  }
  for (const std::string& id : change.configured) {
    if (ConsumerGroup* group = context_.groups.find_consumer(id)) group->soft.settings.reset();
  }
}

// --- offsets --------------------------------------------------------------------------------------------------------

// Whether all partitions of the request have been the member's since the epoch that it names, whatever epoch it has now.
bool ConsumerGroups::owned_since(const ConsumerMember& member, const OffsetCommitRequest& request) const {
  const auto since = [&](const std::vector<OwnedTopicPartitions>& topics, const Uuid& id, int32_t partition) {
    const auto topic = std::ranges::lower_bound(topics, id, {}, &OwnedTopicPartitions::topic_id);
    if (topic == topics.end() || topic->topic_id != id) return false;
    const auto at = std::ranges::lower_bound(topic->partitions, partition);
    if (at == topic->partitions.end() || *at != partition) return false;
    return topic->assignment_epochs[static_cast<size_t>(at - topic->partitions.begin())] <= request.generation;
  };
  return std::ranges::all_of(request.items, [&](const OffsetCommitRequest::Item& item) {
    Uuid id = item.topic_id;
    if (id.is_zero()) {
      if (const auto topic = context_.image->topic(item.topic)) id = topic->id;
    }
    const CurrentAssignment& current = member.current();
    return since(current.assigned, id, item.partition) || since(current.pending_revocation, id, item.partition);
  });
}

ErrorCode ConsumerGroups::check_commit_epoch(const ConsumerMember& member, const OffsetCommitRequest& request) const {
  if (request.generation == member.epoch()) return ErrorCode::kNone;
  if (request.generation < member.epoch() && owned_since(member, request)) return ErrorCode::kNone;
  return member.uses_classic_protocol() ? ErrorCode::kIllegalGeneration : ErrorCode::kStaleMemberEpoch;
}

ErrorCode ConsumerGroups::may_commit(const ConsumerGroup& group, const OffsetCommitRequest& request) const {
  if (request.generation < 0 && group.is_empty()) return ErrorCode::kNone;
  const ConsumerMember* member = group.find(request.member_id);
  if (member == nullptr) return ErrorCode::kUnknownMemberId;
  if (!member->uses_classic_protocol() && !request.group_not_found_known) return ErrorCode::kUnsupportedVersion;
  return check_commit_epoch(*member, request);
}

ErrorCode ConsumerGroups::may_commit_in_transaction(const ConsumerGroup& group, const TxnOffsetCommitRequest& request) const {
  const bool names_member = !request.member_id.empty() || request.instance_id || request.generation >= 0;
  if (!names_member || (request.generation < 0 && group.is_empty())) return ErrorCode::kNone;
  const ConsumerMember* member = group.find(request.member_id);
  if (member == nullptr) return ErrorCode::kUnknownMemberId;
  const ErrorCode error = check_commit_epoch(*member, request);
  const bool unknown_to_client = error == ErrorCode::kStaleMemberEpoch && !request.group_not_found_known;
  return unknown_to_client ? ErrorCode::kIllegalGeneration : error;
}

ErrorCode ConsumerGroups::may_fetch(const ConsumerGroup& group, const OffsetFetchRequest& request) {
  if (!request.member_id && request.member_epoch < 0) return ErrorCode::kNone;
  const ConsumerMember* member = group.find(request.member_id.value_or(""));
  if (member == nullptr) return ErrorCode::kUnknownMemberId;
  if (request.member_epoch == member->epoch()) return ErrorCode::kNone;
  return member->uses_classic_protocol() ? ErrorCode::kIllegalGeneration : ErrorCode::kStaleMemberEpoch;
}

}  // namespace weir::coordination
