#include "protocol/messages/txn_offset_commit.h"

#include <utility>

#include "broker/coordinators/transactional_commit.h"
#include "broker/handlers/commit_answer.h"
#include "broker/handlers/group_handlers.h"
#include "broker/handlers/transactional_offsets.h"
#include "broker/requests/topic_resolver.h"

namespace weir::broker {
namespace {

using coordination::OffsetCommitResult;
using protocol::ErrorCode;

ErrorCode denial(const RequestContext& context, const protocol::TxnOffsetCommitRequest& request) {
  if (!context.may({security::ResourceType::kTransactionalId, request.transactional_id})) {
    return ErrorCode::kTransactionalIdAuthorizationFailed;
  }
  return GroupResolver(context).error_of(request.group_id);
}

}  // namespace

void handle_txn_offset_commit(Coordinators& coordinators, RequestContextPtr context) {
  protocol::TxnOffsetCommitRequest request;
  if (!context->decode(request)) return;
  const int16_t version = context->version();
  const unsigned home = context->loop().index();
  const MetadataImagePtr image = coordinators.broker.shard(home).image;
  const TopicResolver topics(*context, *image, {.ids_from = 6});
  coordination::TxnOffsetCommitRequest commit;
  commit.group_id = request.group_id;
  commit.generation = request.generation_id_or_member_epoch;
  commit.member_id = request.member_id;
  commit.instance_id = owned(request.group_instance_id);
  commit.group_not_found_known = version >= 6;
  commit.transactional_id = request.transactional_id;
  commit.producer_id = request.producer_id;
  commit.producer_epoch = request.producer_epoch;
  auto answer = runtime::make_homebound<CommitAnswer<protocol::TxnOffsetCommitResponse>>(context->loop());
  commit.items = answer->lay_out(request, topics, denial(*context, request), context->arena());
  if (commit.items.empty()) return context->respond(answer->response);
  answer->context = std::move(context);
  if (commit.group_id.empty()) return answer->respond({ErrorCode::kInvalidGroupId, {}});
  commit_in_transaction(coordinators, home, std::move(commit), VerifiedRequest::txn_offset_commit(version),
                        reply_on<OffsetCommitResult>(coordinators.groups, home, [answer, version](OffsetCommitResult& result) {
                          // Producers before 2.0 end at the other one.
                          const bool loads = result.error == ErrorCode::kCoordinatorLoadInProgress;
                          if (loads && version < 2) result.error = ErrorCode::kCoordinatorNotAvailable;
                          answer->respond(result);
                        }));
}

}  // namespace weir::broker
