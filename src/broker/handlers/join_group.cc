#include "protocol/messages/join_group.h"

#include "broker/handlers/group_handlers.h"

namespace weir::broker {
namespace {

using coordination::JoinRequest;
using coordination::JoinResult;
using protocol::ErrorCode;
using protocol::JoinGroupRequest;
using protocol::JoinGroupResponse;

void respond(RequestContext& context, const JoinResult& result) {
  JoinGroupResponse response;
  response.error_code = code(result.error);
  response.generation_id = result.generation;
  response.protocol_type = result.protocol_type;
  response.protocol_name = result.protocol_name;
  // Versions before 7 have no null name.
  if (!response.protocol_name && context.version() < 7) response.protocol_name = std::string_view();
  response.leader = result.leader;
  response.skip_assignment = result.skip_assignment;
  response.member_id = result.member_id;
  response.members = context.arena().array<JoinGroupResponse::JoinGroupResponseMember>(result.members.size());
  for (size_t i = 0; i < result.members.size(); ++i) {
    response.members[i].member_id = result.members[i].member_id;
    response.members[i].group_instance_id = result.members[i].instance_id;
    response.members[i].metadata = as_bytes(result.members[i].metadata);
  }
  context.respond(response);
}

JoinRequest owned_request(RequestContext& context, const JoinGroupRequest& request) {
  JoinRequest join;
  join.group_id = request.group_id;
  join.member_id = request.member_id;
  join.instance_id = owned(request.group_instance_id);
  join.client_id = context.client_id();
  join.client_host = "/" + context.connection().peer.host;
  join.protocol_type = request.protocol_type;
  for (const auto& protocol : request.protocols) {
    join.protocols.push_back({std::string(protocol.name), std::string(as_string(protocol.metadata))});
  }
  join.session_timeout_ms = request.session_timeout_ms;
  // Version 0 has one timeout for both.
  join.rebalance_timeout_ms = context.version() == 0 ? request.session_timeout_ms : request.rebalance_timeout_ms;
  join.requires_known_member_id = context.version() >= 4;
  join.can_skip_assignment = context.version() >= 9;
  join.may_describe = context.lasting_right(security::AclOperation::kDescribe, security::ResourceType::kTopic);
  return join;
}

}  // namespace

void handle_join_group(GroupCoordinators& groups, RequestContextPtr context) {
  JoinGroupRequest request;
  if (!context->decode(request)) return;
  JoinResult refused;
  refused.error = GroupResolver(*context).error_of_named(request.group_id);
  if (refused.error == ErrorCode::kInvalidGroupId) refused.member_id = request.member_id;
  if (refused.error != ErrorCode::kNone) return respond(*context, refused);
  JoinRequest join = owned_request(*context, request);
  context->release_frame();  // the answer may take minutes
  const unsigned home = context->loop().index();
  const std::string group_id = join.group_id;
  groups.call<JoinResult>(
      home, group_id,
      reply_on<JoinResult>(groups, home, [context = std::move(context)](const JoinResult& result) { respond(*context, result); }),
      [join = std::move(join)](auto& state, auto reply, auto now, auto& effects) mutable {
        state.join(std::move(join), std::move(reply), now, effects);
      });
}

}  // namespace weir::broker
