// ClassicGroups: members of classic groups come and rebalance. They go in classic_leave.cc.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/counted.h"
#include "base/log.h"
#include "base/printable.h"
#include "coordination/group/classic/classic_groups.h"

namespace weir::coordination {

using enum ClassicGroupState;

namespace {

// The text form of Java's UUIDs.
std::string uuid_text(const Uuid& id) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < id.bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += kDigits[id.bytes[i] >> 4];
    text += kDigits[id.bytes[i] & 15];
  }
  return text;
}

bool inconsistent(const std::optional<std::string>& asked, const std::optional<std::string>& actual) {
  return asked && actual && *asked != *actual;
}

}  // namespace

std::string ClassicGroups::new_member_id(std::string_view prefix) {
  return std::string(prefix) + "-" + uuid_text(context_.random.uuid());
}

void ClassicGroups::answer_join_error(JoinReply reply, const std::string& member_id, ErrorCode error, Effects& effects) {
  JoinResult result;
  result.error = error;
  result.member_id = member_id;
  effects.answer(std::move(reply), std::move(result));
}

// Ends all waits of a member with `error`.
void ClassicGroups::answer_waiting(ClassicGroup& group, ClassicMember& member, ErrorCode error, Effects& effects) {
  if (auto reply = group.take_join(member)) {
    const bool fenced = error == ErrorCode::kFencedInstanceId;
    answer_join_error(std::move(reply), fenced ? member.id : std::string(), error, effects);
  }
  if (member.sync_reply) {
    SyncResult result;
    result.error = error;
    effects.answer(std::exchange(member.sync_reply, nullptr), std::move(result));
  }
}

// --- join -----------------------------------------------------------------------------------------------------------

void ClassicGroups::join(JoinRequest request, JoinReply reply, Instant now, Effects& effects) {
  if (!allows_session(request.session_timeout_ms)) {
    return answer_join_error(std::move(reply), request.member_id, ErrorCode::kInvalidSessionTimeout, effects);
  }
  const bool new_member = request.member_id.empty();
  ClassicGroup* group = find(request.group_id);
  if (group == nullptr && !new_member) {
    return answer_join_error(std::move(reply), request.member_id, ErrorCode::kUnknownMemberId, effects);
  }
  const bool supported = group != nullptr ? group->supports(request.protocol_type, request.protocols)
                                          : !request.protocol_type.empty() && !request.protocols.empty();
  if (group != nullptr && !accepts(*group, request.member_id)) {
    deadlines_.cancel(member_key(*group, request.member_id));
    remove_member(*group, request.member_id, "is removed: the group is full (group.max.size)", ErrorCode::kUnknownMemberId, now,
                  effects);
    return answer_join_error(std::move(reply), {}, ErrorCode::kGroupMaxSizeReached, effects);
  }
  if (!supported) {
    return answer_join_error(std::move(reply), request.member_id, ErrorCode::kInconsistentGroupProtocol, effects);
  }
  if (new_member && context_.memory.full(group ? GroupMemory::For::kMember : GroupMemory::For::kGroup)) {
    context_.warn_of_memory(now);
    return answer_join_error(std::move(reply), {}, ErrorCode::kCoordinatorNotAvailable, effects);  // clients try again
  }
  if (!fits(group, request)) return answer_join_error(std::move(reply), {}, ErrorCode::kGroupMaxSizeReached, effects);
  if (group == nullptr) {
    GroupChange change(context_, effects);
    if (context_.groups.find(request.group_id) != nullptr) {  // of another type, and empty
      context_.replace(request.group_id, "becomes a classic group", now, change);
    }
    change.emit(GroupMetadataEntry{request.group_id, GroupMetadata()});
    group = find(request.group_id);
  }
  if (new_member) join_new_member(request, *group, std::move(reply), now, effects);
  else join_existing_member(request, *group, std::move(reply), now, effects);
}

// Whether the group, with this member's data, fits into one record.
bool ClassicGroups::fits(ClassicGroup* group, const JoinRequest& request) const {
  const ClassicMember* before = group != nullptr ? group->find(request.member_id) : nullptr;
  const int64_t more =
      ClassicGroup::bytes_of(request.protocols) - (before != nullptr ? ClassicGroup::bytes_of(before->protocols) : 0);
  if (more <= 0 || (group != nullptr ? group->memory_bytes() : 0) + more <= context_.record_bytes_max) return true;  // as most do
  size_t largest = 0;
  for (const GroupProtocol& protocol : request.protocols) largest = std::max(largest, protocol.metadata.size());
  return (group != nullptr ? group->record_bytes() : 0) + static_cast<int64_t>(largest) <= context_.record_bytes_max;
}

// Whether one more member fits. Present members always do. During a rebalance the members that have rejoined count.
bool ClassicGroups::accepts(ClassicGroup& group, const std::string& member_id) const {
  const auto max_size = static_cast<size_t>(config_.max_size);
  const ClassicMember* member = group.find(member_id);
  if (group.in(kEmpty)) return true;
  if (group.in(kPreparingRebalance)) {
    return (member != nullptr && member->awaiting_join()) || group.awaiting_join_count() < max_size;
  }
  return member != nullptr || group.members().size() < max_size;
}

void ClassicGroups::join_new_member(JoinRequest& request, ClassicGroup& group, JoinReply reply, Instant now, Effects& effects) {
  const std::string member_id = new_member_id(request.instance_id ? *request.instance_id : request.client_id);
  if (request.instance_id) {
    if (group.static_member(*request.instance_id) != nullptr) {
      return replace_static_member(request, group, member_id, std::move(reply), now, effects);
    }
    return add_member(request, group, member_id, std::move(reply), now, effects);
  }
  if (!request.requires_known_member_id) return add_member(request, group, member_id, std::move(reply), now, effects);
  // The client joins again with this id. A client that gave up on its first answer so leaves nothing behind.
  group.add_pending(member_id);
  deadlines_.set(member_key(group, member_id), now.monotonic_ms + request.session_timeout_ms);
  answer_join_error(std::move(reply), member_id, ErrorCode::kMemberIdRequired, effects);
}

void ClassicGroups::join_existing_member(JoinRequest& request, ClassicGroup& group, JoinReply reply, Instant now,
                                         Effects& effects) {
  const std::string member_id = request.member_id;
  if (group.is_pending(member_id)) {
    // Static members are never asked to join again.
    if (request.instance_id) {
      return answer_join_error(std::move(reply), member_id, ErrorCode::kUnknownMemberId, effects);
    }
    return add_member(request, group, member_id, std::move(reply), now, effects);
  }
  if (const ErrorCode error = group.validate_member(member_id, request.instance_id); error != ErrorCode::kNone) {
    return answer_join_error(std::move(reply), member_id, error, effects);
  }
  ClassicMember& member = *group.find(member_id);
  const bool unchanged = member.protocols == request.protocols;
  const bool repeated =
      (group.in(kCompletingRebalance) && unchanged) || (group.in(kStable) && unchanged && !group.is_leader(member_id));
  if (repeated) return answer_current_generation(group, member, std::move(reply), effects);
  update_member(request, group, member, std::move(reply), effects);
  rebalance_or_complete(group, unchanged ? "its leader joins again" : "a member changed what it subscribes to", now, effects);
}

// A member that did not get the answer, or a follower with the same protocols.
void ClassicGroups::answer_current_generation(ClassicGroup& group, const ClassicMember& member, JoinReply reply,
                                              Effects& effects) {
  JoinResult result;
  result.generation = group.generation();
  result.protocol_type = group.protocol_type();
  result.protocol_name = group.protocol_name();
  result.leader = group.leader().value_or("");
  result.member_id = member.id;
  if (group.is_leader(member.id)) result.members = group.joined_members();
  effects.answer(std::move(reply), std::move(result));
}

void ClassicGroups::add_member(JoinRequest& request, ClassicGroup& group, const std::string& member_id, JoinReply reply,
                               Instant now, Effects& effects) {
  auto member = std::make_unique<ClassicMember>();
  member->id = member_id;
  member->instance_id = std::move(request.instance_id);
  member->client_id = std::move(request.client_id);
  member->client_host = std::move(request.client_host);
  member->rebalance_timeout_ms = request.rebalance_timeout_ms;
  member->session_timeout_ms = request.session_timeout_ms;
  member->protocols = std::move(request.protocols);
  member->is_new = true;
  member->join_reply = std::move(reply);
  if (group.in(kPreparingRebalance) && group.previous_state() == kEmpty) group.new_member_added = true;
  expect_heartbeat(group, group.add(std::move(member), request.protocol_type), now);
  tell_member(group, member_id, "joins", now);
  rebalance_or_complete(group, "a member joins", now, effects);
}

void ClassicGroups::update_member(JoinRequest& request, ClassicGroup& group, ClassicMember& member, JoinReply reply,
                                  Effects& effects) {
  // A repeated request takes the place of the waiting one.
  if (auto earlier = group.take_join(member)) {
    answer_join_error(std::move(earlier), member.id, ErrorCode::kRebalanceInProgress, effects);
  }
  group.set_protocols(member, std::move(request.protocols));
  member.rebalance_timeout_ms = request.rebalance_timeout_ms;
  member.session_timeout_ms = request.session_timeout_ms;
  group.await_join(member, std::move(reply));
}

// A static member came back without its member id. It takes over its old place, and the old id is fenced.
void ClassicGroups::replace_static_member(JoinRequest& request, ClassicGroup& group, const std::string& new_id, JoinReply reply,
                                          Instant now, Effects& effects) {
  const std::string old_id = *group.static_member(*request.instance_id);
  const std::string old_leader = group.leader().value_or("");
  answer_waiting(group, *group.find(old_id), ErrorCode::kFencedInstanceId, effects);
  deadlines_.cancel(member_key(group, old_id));
  ClassicMember& member = group.replace_static(*request.instance_id, new_id);
  tell_member(group, new_id, "takes the place of the static member " + quoted(old_id, 128), now);
  const bool can_skip_assignment = request.can_skip_assignment;
  update_member(request, group, member, std::move(reply), effects);
  expect_heartbeat(group, member, now);
  if (group.in(kStable) && group.protocol_name().value_or("") == group.select_protocol()) {
    // Nothing changes for the others: no rebalance.
    store(group, effects);
    JoinReply waiting = group.take_join(member);
    if (can_skip_assignment) {
      JoinResult result;
      result.generation = group.generation();
      result.protocol_type = group.protocol_type();
      result.protocol_name = group.protocol_name();
      result.leader = group.leader().value_or("");
      result.member_id = new_id;
      result.skip_assignment = group.is_leader(new_id);
      if (result.skip_assignment) result.members = group.joined_members();
      return effects.answer(std::move(waiting), std::move(result));
    }
    // Older clients would compute an assignment if they were told that they lead: they get the old leader's id.
    JoinResult result;
    result.generation = group.generation();
    result.protocol_type = group.protocol_type();
    result.protocol_name = group.protocol_name();
    result.leader = old_leader;
    result.member_id = new_id;
    return effects.answer(std::move(waiting), std::move(result));
  }
  constexpr std::string_view kWhy = "a static member came back";
  if (group.in(kCompletingRebalance)) return prepare_rebalance(group, kWhy, now, effects);
  rebalance_or_complete(group, kWhy, now, effects);
}

// --- rebalance ------------------------------------------------------------------------------------------------------

void ClassicGroups::rebalance_or_complete(ClassicGroup& group, std::string_view why, Instant now, Effects& effects) {
  if (group.can_rebalance()) prepare_rebalance(group, why, now, effects);
  else complete_join_if_all(group, now, effects);
}

void ClassicGroups::prepare_rebalance(ClassicGroup& group, std::string_view why, Instant now, Effects& effects) {
  tell(group,
       fmt::format("(generation {}, {}, {}) begins a rebalance: {}", group.generation(),
                   counted(group.members().size(), "member"), state_name(group.state()), why),
       now);
  if (group.in(kCompletingRebalance)) {
    for (const auto& [id, member] : group.members()) group.set_assignment(*member, {});
    propagate_assignment(group, ErrorCode::kRebalanceInProgress, now, effects);
  }
  group.pending_syncs().clear();
  deadlines_.cancel({DeadlineKind::kSync, group.id(), {}});
  const bool first = group.in(kEmpty);
  group.transition(kPreparingRebalance, now.wall_ms);
  if (first) {
    const int32_t delay_ms = config_.initial_rebalance_delay_ms;
    group.new_member_added = false;
    group.initial_wait = ClassicGroup::InitialWait{delay_ms, std::max(group.rebalance_timeout_ms() - delay_ms, 0)};
    return set_join_deadline(group, delay_ms, now);
  }
  if (group.all_members_joined()) return complete_join(group, now, effects);
  set_join_deadline(group, group.rebalance_timeout_ms(), now);
}

void ClassicGroups::complete_join_if_all(ClassicGroup& group, Instant now, Effects& effects) {
  // The first rebalance ends by its own delay.
  if (!group.in(kPreparingRebalance) || group.initial_wait || !group.all_members_joined()) return;
  complete_join(group, now, effects);
}

void ClassicGroups::initial_wait_over(ClassicGroup& group, Instant now, Effects& effects) {
  const ClassicGroup::InitialWait wait = *group.initial_wait;
  if (!group.new_member_added || wait.remaining_ms == 0) return complete_join(group, now, effects);
  group.new_member_added = false;
  const int32_t delay_ms = std::min(config_.initial_rebalance_delay_ms, wait.remaining_ms);
  group.initial_wait = ClassicGroup::InitialWait{delay_ms, std::max(wait.remaining_ms - wait.delay_ms, 0)};
  set_join_deadline(group, delay_ms, now);
}

void ClassicGroups::complete_join(ClassicGroup& group, Instant now, Effects& effects) {
  cancel_join_deadline(group);
  if (!group.in(kPreparingRebalance)) return;
  std::vector<std::string> late;
  for (const auto& [id, member] : group.members()) {
    if (!member->awaiting_join() && !member->is_static()) late.push_back(id);
  }
  for (const std::string& id : late) {
    deadlines_.cancel(member_key(group, id));
    remove_member(group, id, "is removed: it did not join again within the rebalance timeout", ErrorCode::kUnknownMemberId, now,
                  effects);
  }
  if (!group.members().empty() && !group.elect_joined_leader()) {
    // Only static members are left, and none is back: their sessions decide.
    return set_join_deadline(group, group.rebalance_timeout_ms(), now);
  }
  group.begin_next_generation(now.wall_ms);
  if (group.in(kEmpty)) {
    tell(group, fmt::format("(generation {}) has no members any more", group.generation()), now);
    store(group, effects);
    return;
  }
  for (const auto& [id, member] : group.members()) {
    member->is_new = false;
    expect_heartbeat(group, *member, now);
    group.pending_syncs().insert(id);
    if (auto reply = group.take_join(*member)) answer_current_generation(group, *member, std::move(reply), effects);
  }
  deadlines_.set({DeadlineKind::kSync, group.id(), {}}, now.monotonic_ms + group.rebalance_timeout_ms());
}

// --- sync -----------------------------------------------------------------------------------------------------------

void ClassicGroups::sync(SyncRequest request, SyncReply reply, Instant now, Effects& effects) {
  SyncResult result;
  ClassicGroup* group = find(request.group_id);
  if (group == nullptr || group->in(kEmpty)) {
    result.error = ErrorCode::kUnknownMemberId;
  } else {
    result.error = group->validate_member(request.member_id, request.instance_id);
    if (result.error == ErrorCode::kNone) {
      if (request.generation != group->generation()) result.error = ErrorCode::kIllegalGeneration;
      else if (inconsistent(request.protocol_type, group->protocol_type()) ||
               inconsistent(request.protocol_name, group->protocol_name()))
        result.error = ErrorCode::kInconsistentGroupProtocol;
      else if (group->in(kPreparingRebalance)) result.error = ErrorCode::kRebalanceInProgress;
    }
  }
  if (result.error != ErrorCode::kNone) return effects.answer(std::move(reply), std::move(result));
  ClassicMember& member = *group->find(request.member_id);
  synced(*group, member.id);
  if (group->in(kStable)) {
    result.protocol_type = group->protocol_type();
    result.protocol_name = group->protocol_name();
    result.assignment = member.assignment;
    return effects.answer(std::move(reply), std::move(result));
  }
  if (member.sync_reply) {
    result.error = ErrorCode::kRebalanceInProgress;  // a repeated request takes the place of the waiting one
    effects.answer(std::exchange(member.sync_reply, nullptr), std::move(result));
  }
  member.sync_reply = std::move(reply);
  if (!group->is_leader(member.id)) return;
  int64_t bytes = 0;
  for (const SyncRequest::Assignment& assigned : request.assignments) bytes += static_cast<int64_t>(assigned.assignment.size());
  if (group->memory_bytes() + bytes > context_.record_bytes_max && group->record_bytes() + bytes > context_.record_bytes_max) {
    // Kafka's answer for records that its log refuses. The others wait until the leader does better, or is removed for its
    // silence.
    result.error = ErrorCode::kUnknownServerError;
    log_warn("groups",
             "Group {}: an assignment of {} bytes in all is refused: the group would be larger than a segment of "
             "__consumer_offsets may be (segment.bytes)",
             quoted(group->id(), 128), bytes);
    return effects.answer(std::exchange(member.sync_reply, nullptr), std::move(result));
  }
  GroupMetadata stable = group->metadata();
  for (GroupMetadata::Member& one : stable.members) one.assignment.clear();
  for (SyncRequest::Assignment& assigned : request.assignments) {
    const auto one = std::ranges::lower_bound(stable.members, assigned.member_id, {}, &GroupMetadata::Member::id);
    if (one != stable.members.end() && one->id == assigned.member_id) one->assignment = std::move(assigned.assignment);
  }
  stable.state_timestamp_ms = now.wall_ms;
  context_.emit(GroupMetadataEntry{group->id(), std::move(stable)}, effects);
  ++context_.totals.rebalances;
  tell(*group,
       fmt::format("(generation {}, {}) is stable; its leader is {}", group->generation(),
                   counted(group->members().size(), "member"), quoted(member.id, 128)),
       now);
  propagate_assignment(*group, ErrorCode::kNone, now, effects);
}

void ClassicGroups::propagate_assignment(ClassicGroup& group, ErrorCode error, Instant now, Effects& effects) {
  for (const auto& [id, member] : group.members()) {
    if (!member->sync_reply) continue;
    SyncResult result;
    result.error = error;
    if (error == ErrorCode::kNone) {
      result.protocol_type = group.protocol_type();
      result.protocol_name = group.protocol_name();
      result.assignment = member->assignment;
    }
    effects.answer(std::exchange(member->sync_reply, nullptr), std::move(result));
    expect_heartbeat(group, *member, now);
  }
}

void ClassicGroups::synced(ClassicGroup& group, const std::string& member_id) {
  group.pending_syncs().erase(member_id);
  if (group.pending_syncs().empty()) deadlines_.cancel({DeadlineKind::kSync, group.id(), {}});
}

void ClassicGroups::pending_syncs_expired(ClassicGroup& group, Instant now, Effects& effects) {
  if (!group.in(kCompletingRebalance) && !group.in(kStable)) return;
  const std::set<std::string> silent = group.pending_syncs();
  if (silent.empty()) return;
  for (const std::string& id : silent) {
    deadlines_.cancel(member_key(group, id));
    remove_member(group, id, "is removed: it did not ask for its assignment in time", ErrorCode::kUnknownMemberId, now, effects);
  }
  prepare_rebalance(group, "members did not ask for their assignments", now, effects);
}

// --- time -----------------------------------------------------------------------------------------------------------

void ClassicGroups::due(ClassicGroup& group, const DeadlineKey& key, Instant now, Effects& effects) {
  switch (key.kind) {
    case DeadlineKind::kMember:
      return member_expired(group, key.member_id, now, effects);
    case DeadlineKind::kSync:
      return pending_syncs_expired(group, now, effects);
    case DeadlineKind::kJoin:
      if (group.initial_wait) initial_wait_over(group, now, effects);
      else complete_join(group, now, effects);
      return;
    default:
      WEIR_CHECK(false);
  }
}

void ClassicGroups::loaded(ClassicGroup& group, Instant now, Effects& effects) {
  expect_heartbeats(group, now);
  if (group.members().size() <= static_cast<size_t>(config_.max_size) || context_.is_kept_back(group.id())) return;
  if (group.in(kPreparingRebalance)) return;
  prepare_rebalance(group, "more members were loaded than group.max.size allows", now, effects);
}

void ClassicGroups::expect_heartbeats(const ClassicGroup& group, Instant now) {
  for (const auto& [id, member] : group.members()) expect_heartbeat(group, *member, now);
}

void ClassicGroups::expect_heartbeat(const ClassicGroup& group, const ClassicMember& member, Instant now) {
  const int64_t timeout_ms = member.is_new ? config_.new_member_join_timeout_ms : member.session_timeout_ms;
  deadlines_.set(member_key(group, member.id), now.monotonic_ms + timeout_ms);
}

void ClassicGroups::set_join_deadline(ClassicGroup& group, int64_t delay_ms, Instant now) {
  deadlines_.set({DeadlineKind::kJoin, group.id(), {}}, now.monotonic_ms + delay_ms);
}

void ClassicGroups::cancel_join_deadline(ClassicGroup& group) {
  group.initial_wait.reset();
  deadlines_.cancel({DeadlineKind::kJoin, group.id(), {}});
}

// --- heartbeat ------------------------------------------------------------------------------------------------------

void ClassicGroups::heartbeat(const HeartbeatRequest& request, HeartbeatReply reply, Instant now, Effects& effects) {
  HeartbeatResult result;
  ClassicGroup* group = find(request.group_id);
  if (group == nullptr) {
    result.error = ErrorCode::kUnknownMemberId;
  } else {
    result.error = group->validate_member(request.member_id, request.instance_id);
    if (result.error == ErrorCode::kNone && request.generation != group->generation()) {
      result.error = ErrorCode::kIllegalGeneration;
    }
    if (result.error == ErrorCode::kNone) {
      expect_heartbeat(*group, *group->find(request.member_id), now);
      if (group->in(kPreparingRebalance)) result.error = ErrorCode::kRebalanceInProgress;
    }
  }
  effects.answer(std::move(reply), result);
}

// --- offsets --------------------------------------------------------------------------------------------------------

ErrorCode ClassicGroups::may_commit(ClassicGroup& group, const OffsetCommitRequest& request, Instant now) {
  if (request.generation < 0 && group.is_empty()) return ErrorCode::kNone;
  if (request.generation < 0 && request.member_id.empty() && !request.instance_id) return ErrorCode::kUnknownMemberId;
  const ErrorCode error = group.validate_member(request.member_id, request.instance_id);
  if (error != ErrorCode::kNone) return error;
  if (request.generation != group.generation()) return ErrorCode::kIllegalGeneration;
  if (group.in(kCompletingRebalance)) return ErrorCode::kRebalanceInProgress;
  // A commit is a sign of life.
  if (const ClassicMember* member = group.find(request.member_id)) expect_heartbeat(group, *member, now);
  return ErrorCode::kNone;
}

}  // namespace weir::coordination
