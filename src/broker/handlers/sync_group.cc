#include "protocol/messages/sync_group.h"

#include "broker/handlers/group_handlers.h"

namespace weir::broker {
namespace {

using coordination::SyncRequest;
using coordination::SyncResult;
using protocol::ErrorCode;

void respond(RequestContext& context, const SyncResult& result) {
  protocol::SyncGroupResponse response;
  response.error_code = code(result.error);
  response.protocol_type = result.protocol_type;
  response.protocol_name = result.protocol_name;
  response.assignment = as_bytes(result.assignment);
  context.respond(response);
}

}  // namespace

void handle_sync_group(GroupCoordinators& groups, RequestContextPtr context) {
  protocol::SyncGroupRequest request;
  if (!context->decode(request)) return;
  SyncResult refused;
  const bool lacks_protocol = context->version() >= 5 && (!request.protocol_type || !request.protocol_name);
  refused.error =
      lacks_protocol ? ErrorCode::kInconsistentGroupProtocol : GroupResolver(*context).error_of_named(request.group_id);
  if (refused.error != ErrorCode::kNone) return respond(*context, refused);
  SyncRequest sync;
  sync.group_id = request.group_id;
  sync.generation = request.generation_id;
  sync.member_id = request.member_id;
  sync.instance_id = owned(request.group_instance_id);
  sync.protocol_type = owned(request.protocol_type);
  sync.protocol_name = owned(request.protocol_name);
  for (const auto& one : request.assignments) {
    sync.assignments.push_back({std::string(one.member_id), std::string(as_string(one.assignment))});
  }
  context->release_frame();
  const unsigned home = context->loop().index();
  const std::string group_id = sync.group_id;
  groups.call<SyncResult>(
      home, group_id,
      reply_on<SyncResult>(groups, home, [context = std::move(context)](const SyncResult& result) { respond(*context, result); }),
      [sync = std::move(sync)](auto& state, auto reply, auto now, auto& effects) mutable {
        state.sync(std::move(sync), std::move(reply), now, effects);
      });
}

}  // namespace weir::broker
