#include "protocol/messages/heartbeat.h"

#include "broker/handlers/group_handlers.h"

namespace weir::broker {

using coordination::HeartbeatRequest;
using coordination::HeartbeatResult;
using protocol::ErrorCode;

void handle_heartbeat(GroupCoordinators& groups, RequestContextPtr context) {
  protocol::HeartbeatRequest request;
  if (!context->decode(request)) return;
  if (const ErrorCode refused = GroupResolver(*context).error_of_named(request.group_id); refused != ErrorCode::kNone) {
    protocol::HeartbeatResponse response;
    response.error_code = code(refused);
    return context->respond(response);
  }
  HeartbeatRequest beat{std::string(request.group_id), request.generation_id, std::string(request.member_id),
                        owned(request.group_instance_id)};
  const unsigned home = context->loop().index();
  const std::string group_id = beat.group_id;
  groups.call<HeartbeatResult>(
      home, group_id,
      reply_on<HeartbeatResult>(groups, home,
                                [context = std::move(context)](const HeartbeatResult& result) {
                                  protocol::HeartbeatResponse answer;
                                  // A client that beats while the groups load need not act.
                                  answer.error_code = code(
                                      result.error == ErrorCode::kCoordinatorLoadInProgress ? ErrorCode::kNone : result.error);
                                  context->respond(answer);
                                }),
      [beat = std::move(beat)](auto& state, auto reply, auto now, auto& effects) {
        state.heartbeat(beat, std::move(reply), now, effects);
      });
}

}  // namespace weir::broker
