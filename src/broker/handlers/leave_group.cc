#include "protocol/messages/leave_group.h"

#include "broker/handlers/group_handlers.h"

namespace weir::broker {
namespace {

using coordination::LeaveRequest;
using coordination::LeaveResult;
using protocol::ErrorCode;
using protocol::LeaveGroupResponse;

void respond(RequestContext& context, const LeaveRequest& request, const LeaveResult& result) {
  LeaveGroupResponse response;
  response.error_code = code(result.error);
  // Versions before 3 name one member, and its error is the answer's.
  if (context.version() < 3 && result.error == ErrorCode::kNone && !result.members.empty()) {
    response.error_code = code(result.members[0]);
  }
  if (context.version() >= 3) {
    response.members = context.arena().array<LeaveGroupResponse::MemberResponse>(result.members.size());
    for (size_t i = 0; i < result.members.size(); ++i) {
      response.members[i].member_id = request.members[i].member_id;
      response.members[i].group_instance_id = request.members[i].instance_id;
      response.members[i].error_code = code(result.members[i]);
    }
  }
  context.respond(response);
}

}  // namespace

void handle_leave_group(GroupCoordinators& groups, RequestContextPtr context) {
  protocol::LeaveGroupRequest request;
  if (!context->decode(request)) return;
  LeaveRequest leave;
  leave.group_id = request.group_id;
  leave.from = context->client_text();
  if (context->version() < 3) leave.members.push_back({std::string(request.member_id), std::nullopt});
  for (const auto& member : request.members) {
    leave.members.push_back({std::string(member.member_id), owned(member.group_instance_id)});
  }
  LeaveResult refused;
  refused.error = GroupResolver(*context).error_of_named(leave.group_id);
  if (refused.error != ErrorCode::kNone) return respond(*context, leave, refused);
  const unsigned home = context->loop().index();
  const std::string group_id = leave.group_id;
  groups.call<LeaveResult>(
      home, group_id,
      reply_on<LeaveResult>(
          groups, home, [context = std::move(context), leave](const LeaveResult& result) { respond(*context, leave, result); }),
      [leave](auto& state, auto reply, auto now, auto& effects) { state.leave(leave, std::move(reply), now, effects); });
}

}  // namespace weir::broker
