// ConsumerGroups: members of consumer groups go.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "coordination/group/consumer/consumer_groups.h"

namespace weir::coordination {

void ConsumerGroups::remove_member(const ConsumerGroup& group, const std::string& member_id, GroupChange& change) {
  const std::string id = member_id;  // it may be the member's own
  change.emit(CurrentAssignmentEntry{group.id(), id, std::nullopt});
  change.emit(TargetAssignmentMemberEntry{group.id(), id, std::nullopt});
  change.emit(ConsumerMemberEntry{group.id(), id, std::nullopt});
}

void ConsumerGroups::forget_regex(const ConsumerGroup& group, const std::string& regex, GroupChange& change) {
  const auto at = group.regexes().find(regex);
  if (at == group.regexes().end() || at->second.subscribers > 0) return;
  change.emit(ResolvedRegexEntry{group.id(), regex, std::nullopt});
}

void ConsumerGroups::fence(ConsumerGroup& group, std::span<const ConsumerMember* const> members, std::string_view why,
                           Instant now, GroupChange& change) {
  for (const ConsumerMember* member : members) {
    tell(group, *member, why, now);
    cancel_deadlines(group, member->id);
    const std::string regex = member->regex() != nullptr ? *member->regex() : std::string();
    remove_member(group, member->id, change);
    if (!regex.empty()) forget_regex(group, regex, change);
  }
  refresh_epoch(group, true, members.size() == 1 ? "a member is gone" : "members are gone", now, change);
  // The next member need not wait for its assignment.
  if (group.is_empty()) change.emit(TargetAssignmentEntry{group.id(), {{group.epoch(), 0}}});
}

void ConsumerGroups::fence_or_downgrade(ConsumerGroup& group, std::span<const ConsumerMember* const> members,
                                        std::string_view why, Instant now, GroupChange& change, Effects& effects) {
  if (!downgrades(group, members)) return fence(group, members, why, now, change);
  for (const ConsumerMember* member : members) tell(group, *member, why, now);
  downgrade(group, members, true, now, change, effects);
}

// Its partitions stay its own until it returns, or its session ends.
void ConsumerGroups::leave_for_a_while(const ConsumerMember& member, ConsumerGroup& group, Instant now, GroupChange& change) {
  tell(group, member, "leaves for a while", now);
  context_.deadlines.cancel(revocation_key(group, member.id));
  CurrentAssignment away = member.current();
  away.member_epoch = ConsumerMember::kAwayEpoch;
  away.state = MemberState::kStable;
  away.pending_revocation.clear();
  for (OwnedTopicPartitions& topic : away.assigned) topic.assignment_epochs.assign(topic.partitions.size(), 0);
  change.emit(CurrentAssignmentEntry{group.id(), member.id, std::move(away)});
}

std::expected<ConsumerHeartbeatResult, ConsumerGroups::Refusal> ConsumerGroups::leave(const ConsumerHeartbeatRequest& request,
                                                                                      Instant now, Effects& effects) {
  ConsumerGroup* group = context_.groups.find_consumer(request.group_id);
  if (group == nullptr) return refused(ErrorCode::kGroupIdNotFound, "There is no such consumer group.");
  const ConsumerMember* member =
      request.instance_id ? group->static_member(*request.instance_id) : group->find(request.member_id);
  if (member == nullptr) return refused(ErrorCode::kUnknownMemberId, "The group has no such member.");
  if (member->id != request.member_id) {
    return refused(ErrorCode::kFencedInstanceId, "The instance id belongs to another member.");
  }
  GroupChange change(context_, effects);
  if (request.member_epoch == ConsumerMember::kAwayEpoch) leave_for_a_while(*member, *group, now, change);
  else fence_or_downgrade(*group, {&member, 1}, "leaves", now, change, effects);
  ConsumerHeartbeatResult result;
  result.member_id = request.member_id;
  result.member_epoch = request.member_epoch;
  return result;
}

void ConsumerGroups::due(ConsumerGroup& group, const DeadlineKey& key, Instant now, Effects& effects) {
  const ConsumerMember* member = group.find(key.member_id);
  if (member == nullptr) return;
  GroupChange change(context_, effects);
  if (key.kind == DeadlineKind::kMember) {
    const std::string why = fmt::format("is removed: no heartbeat for {} ms", session_timeout_ms(group, *member));
    return fence_or_downgrade(group, {&member, 1}, why, now, change, effects);
  }
  // What it was waited for may be of its earlier protocol.
  const bool owes = key.kind == DeadlineKind::kRebalance ? member->current().state == MemberState::kUnrevokedPartitions
                                                         : member->uses_classic_protocol();
  if (!owes) return;
  const std::string why = fmt::format("is removed: it did not {} within {} ms",
                                      key.kind == DeadlineKind::kRebalance ? "give up its partitions"
                                      : key.kind == DeadlineKind::kJoin    ? "join again"
                                                                           : "ask for its assignment",
                                      member->metadata->rebalance_timeout_ms);
  fence_or_downgrade(group, {&member, 1}, why, now, change, effects);
}

// An administrator removes members. One may be named twice.
void ConsumerGroups::leave(ConsumerGroup& group, const LeaveRequest& request, LeaveReply reply, Instant now, Effects& effects) {
  LeaveResult result;
  std::vector<const ConsumerMember*> leaving;
  for (const LeaveRequest::Member& asked : request.members) {
    const ConsumerMember* member = asked.instance_id ? group.static_member(*asked.instance_id) : group.find(asked.member_id);
    ErrorCode error = ErrorCode::kNone;
    if (member == nullptr) error = ErrorCode::kUnknownMemberId;
    else if (!asked.member_id.empty() && asked.member_id != member->id) error = ErrorCode::kFencedInstanceId;
    else if (!std::ranges::count(leaving, member)) leaving.push_back(member);
    result.members.push_back(error);
  }
  if (!leaving.empty()) {
    GroupChange change(context_, effects);
    fence_or_downgrade(group, leaving, "leaves, as asked by " + request.from, now, change, effects);
  }
  effects.answer(std::move(reply), std::move(result));
}

}  // namespace weir::coordination
