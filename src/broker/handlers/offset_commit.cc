#include "protocol/messages/offset_commit.h"

#include <utility>

#include "broker/handlers/commit_answer.h"
#include "broker/handlers/group_handlers.h"
#include "broker/requests/topic_resolver.h"

namespace weir::broker {

using coordination::OffsetCommitResult;

void handle_offset_commit(GroupCoordinators& groups, RequestContextPtr context) {
  protocol::OffsetCommitRequest request;
  if (!context->decode(request)) return;
  const unsigned home = context->loop().index();
  const MetadataImagePtr image = groups.broker().shard(home).image;
  const TopicResolver topics(*context, *image, {.ids_from = 10});
  coordination::OffsetCommitRequest commit;
  commit.group_id = request.group_id;
  commit.generation = request.generation_id_or_member_epoch;
  commit.member_id = request.member_id;
  commit.instance_id = owned(request.group_instance_id);
  commit.retention_ms = request.retention_time_ms;
  commit.group_not_found_known = context->version() >= 9;
  auto answer = runtime::make_homebound<CommitAnswer<protocol::OffsetCommitResponse>>(context->loop());
  commit.items = answer->lay_out(request, topics, GroupResolver(*context).error_of(request.group_id), context->arena());
  if (commit.items.empty()) return context->respond(answer->response);
  answer->context = std::move(context);
  const std::string group_id = commit.group_id;
  groups.call<OffsetCommitResult>(
      home, group_id,
      reply_on<OffsetCommitResult>(groups, home, [answer](const OffsetCommitResult& result) { answer->respond(result); }),
      [commit = std::move(commit)](auto& state, auto reply, auto now, auto& effects) {
        state.commit_offsets(commit, std::move(reply), now, effects);
      });
}

}  // namespace weir::broker
