// ClassicGroups: members of classic groups go.
#include <fmt/format.h>

#include <utility>

#include "coordination/group/classic/classic_groups.h"

namespace weir::coordination {

using enum ClassicGroupState;

void ClassicGroups::remove_member(ClassicGroup& group, const std::string& member_id, std::string_view why, ErrorCode error,
                                  Instant now, Effects& effects) {
  if (group.find(member_id)) tell_member(group, member_id, why, now);
  if (ClassicMember* member = group.find(member_id)) answer_waiting(group, *member, error, effects);
  group.remove(member_id);
}

void ClassicGroups::member_expired(ClassicGroup& group, const std::string& member_id, Instant now, Effects& effects) {
  if (!group.is_pending(member_id)) {
    const ClassicMember* member = group.find(member_id);
    // The end of what it waits for sets the next deadline.
    if (member == nullptr || member->heartbeat_satisfied()) return;
    const std::string why = fmt::format("is removed: no heartbeat for {} ms",
                                        member->is_new ? config_.new_member_join_timeout_ms : member->session_timeout_ms);
    remove_member(group, member_id, why, ErrorCode::kUnknownMemberId, now, effects);
    if (group.in(kStable) || group.in(kCompletingRebalance)) {
      return prepare_rebalance(group, "a member's heartbeats ended", now, effects);
    }
  } else {
    group.remove(member_id);
  }
  if (group.in(kPreparingRebalance) && group.all_members_joined()) complete_join(group, now, effects);
}

ErrorCode ClassicGroups::leave_one(ClassicGroup& group, const LeaveRequest::Member& leaving, const std::string& from, Instant now,
                                   Effects& effects) {
  std::string member_id = leaving.member_id;
  if (member_id.empty()) {
    // An administrator removes a static member, and need not know its member id.
    const std::string* existing = leaving.instance_id ? group.static_member(*leaving.instance_id) : nullptr;
    if (existing == nullptr) return ErrorCode::kUnknownMemberId;
    member_id = *existing;
  } else if (!group.is_pending(member_id)) {
    const ErrorCode error = group.validate_member(member_id, leaving.instance_id);
    if (error != ErrorCode::kNone) return error;
  }
  deadlines_.cancel(member_key(group, member_id));
  remove_member(group, member_id, "leaves, as asked by " + from, ErrorCode::kUnknownMemberId, now, effects);
  return ErrorCode::kNone;
}

void ClassicGroups::abandon(ClassicGroup& group, ErrorCode error, Effects& effects) {
  for (const auto& [member_id, member] : group.members()) answer_waiting(group, *member, error, effects);
}

void ClassicGroups::end(ClassicGroup& group, ErrorCode error, Effects& effects) {
  abandon(group, error, effects);
  cancel_join_deadline(group);
  deadlines_.cancel({DeadlineKind::kSync, group.id(), {}});
  for (const auto& [member_id, member] : group.members()) deadlines_.cancel(member_key(group, member_id));
  for (const std::string& member_id : group.pending_members()) deadlines_.cancel(member_key(group, member_id));
}

void ClassicGroups::leave(const LeaveRequest& request, LeaveReply reply, Instant now, Effects& effects) {
  LeaveResult result;
  ClassicGroup* group = find(request.group_id);
  bool any = false;
  for (const LeaveRequest::Member& leaving : request.members) {
    const ErrorCode error =
        group == nullptr ? ErrorCode::kUnknownMemberId : leave_one(*group, leaving, request.from, now, effects);
    result.members.push_back(error);
    any = any || error == ErrorCode::kNone;
  }
  effects.answer(std::move(reply), std::move(result));
  if (!any) return;
  if (group->in(kStable) || group->in(kCompletingRebalance)) return prepare_rebalance(*group, "a member leaves", now, effects);
  complete_join_if_all(*group, now, effects);
}

}  // namespace weir::coordination
