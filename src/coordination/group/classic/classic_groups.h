// Groups of the classic protocol at work. Members join, synchronise, send heartbeats, leave and are removed. Part of a group
// coordinator's state: each call is within a step.
#pragma once

#include <string>
#include <string_view>

#include "coordination/group/group_context.h"
#include "coordination/group/group_messages.h"

namespace weir::coordination {

class ClassicGroups {
 public:
  explicit ClassicGroups(GroupContext& context) : context_(context), config_(context.config), deadlines_(context.deadlines) {}

  // classic_rebalance.cc
  void join(JoinRequest request, JoinReply reply, Instant now, Effects& effects);
  void sync(SyncRequest request, SyncReply reply, Instant now, Effects& effects);
  void heartbeat(const HeartbeatRequest& request, HeartbeatReply reply, Instant now, Effects& effects);
  // classic_leave.cc
  void leave(const LeaveRequest& request, LeaveReply reply, Instant now, Effects& effects);

  // A group that was read from the log, or came from another partition: its members get full sessions.
  void loaded(ClassicGroup& group, Instant now, Effects& effects);
  void expect_heartbeats(const ClassicGroup& group, Instant now);
  // A deadline of a kind that is about members.
  void due(ClassicGroup& group, const DeadlineKey& key, Instant now, Effects& effects);
  // Ends all waits of its members with `error`.
  void abandon(ClassicGroup& group, ErrorCode error, Effects& effects);
  // The same, and its deadlines: a group of another type takes its place.
  void end(ClassicGroup& group, ErrorCode error, Effects& effects);
  // `why`: for the log.
  void prepare_rebalance(ClassicGroup& group, std::string_view why, Instant now, Effects& effects);
  bool allows_session(int32_t timeout_ms) const {
    return timeout_ms >= config_.min_session_timeout_ms && timeout_ms <= config_.max_session_timeout_ms;
  }
  // Checks the right to commit: of members of the current generation, and of any client while the group has no members.
  ErrorCode may_commit(ClassicGroup& group, const OffsetCommitRequest& request, Instant now);

 private:
  // Joining.
  void join_new_member(JoinRequest& request, ClassicGroup& group, JoinReply reply, Instant now, Effects& effects);
  void join_existing_member(JoinRequest& request, ClassicGroup& group, JoinReply reply, Instant now, Effects& effects);
  bool accepts(ClassicGroup& group, const std::string& member_id) const;
  bool fits(ClassicGroup* group, const JoinRequest& request) const;
  void add_member(JoinRequest& request, ClassicGroup& group, const std::string& member_id, JoinReply reply, Instant now,
                  Effects& effects);
  void update_member(JoinRequest& request, ClassicGroup& group, ClassicMember& member, JoinReply reply, Effects& effects);
  void replace_static_member(JoinRequest& request, ClassicGroup& group, const std::string& new_id, JoinReply reply, Instant now,
                             Effects& effects);
  void answer_current_generation(ClassicGroup& group, const ClassicMember& member, JoinReply reply, Effects& effects);
  // The rebalance.
  void rebalance_or_complete(ClassicGroup& group, std::string_view why, Instant now, Effects& effects);
  void complete_join_if_all(ClassicGroup& group, Instant now, Effects& effects);
  void complete_join(ClassicGroup& group, Instant now, Effects& effects);
  void initial_wait_over(ClassicGroup& group, Instant now, Effects& effects);
  void propagate_assignment(ClassicGroup& group, ErrorCode error, Instant now, Effects& effects);
  // Members going.
  void member_expired(ClassicGroup& group, const std::string& member_id, Instant now, Effects& effects);
  void pending_syncs_expired(ClassicGroup& group, Instant now, Effects& effects);
  void remove_member(ClassicGroup& group, const std::string& member_id, std::string_view why, ErrorCode error, Instant now,
                     Effects& effects);
  void synced(ClassicGroup& group, const std::string& member_id);
  ErrorCode leave_one(ClassicGroup& group, const LeaveRequest::Member& leaving, const std::string& from, Instant now,
                      Effects& effects);
  void answer_join_error(JoinReply reply, const std::string& member_id, ErrorCode error, Effects& effects);
  void answer_waiting(ClassicGroup& group, ClassicMember& member, ErrorCode error, Effects& effects);
  std::string new_member_id(std::string_view prefix);

  // Deadlines.
  void expect_heartbeat(const ClassicGroup& group, const ClassicMember& member, Instant now);
  void set_join_deadline(ClassicGroup& group, int64_t delay_ms, Instant now);
  void cancel_join_deadline(ClassicGroup& group);
  static DeadlineKey member_key(const ClassicGroup& group, const std::string& member_id) {
    return {DeadlineKind::kMember, group.id(), member_id};
  }

  ClassicGroup* find(std::string_view group_id) { return context_.groups.find_classic(group_id); }
  void store(const ClassicGroup& group, Effects& effects) {
    context_.emit(GroupMetadataEntry{group.id(), group.metadata()}, effects);
  }
  void tell(const ClassicGroup& group, std::string_view what, Instant now) { context_.lines.tell(group.id(), what, now); }
  void tell_member(const ClassicGroup& group, const std::string& member_id, std::string_view what, Instant now) {
    context_.lines.tell_member(group, member_id, what, now);
  }

  GroupContext& context_;
  const GroupConfig& config_;
  Deadlines<DeadlineKey>& deadlines_;
};

}  // namespace weir::coordination
