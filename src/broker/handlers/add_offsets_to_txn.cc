#include "protocol/messages/add_offsets_to_txn.h"

#include <string>
#include <utility>

#include "broker/handlers/transaction_handlers.h"
#include "broker/handlers/transactional_offsets.h"
#include "broker/requests/group_resolver.h"

namespace weir::broker {
namespace {

using coordination::AddPartitionsRequest;
using coordination::AddPartitionsResult;
using protocol::ErrorCode;

constexpr int16_t kFirstVersionWithFenced = 2;

ErrorCode denial(const RequestContext& context, const protocol::AddOffsetsToTxnRequest& request) {
  if (!context.may({security::ResourceType::kTransactionalId, request.transactional_id})) {
    return ErrorCode::kTransactionalIdAuthorizationFailed;
  }
  return GroupResolver(context).error_of(request.group_id);
}

void respond(RequestContext& context, ErrorCode error) {
  protocol::AddOffsetsToTxnResponse response;
  response.error_code = code(without_fenced(error, context.version(), kFirstVersionWithFenced));
  context.respond(response);
}

// Clients of transaction.version 2 do not send this request.
void add(Coordinators& coordinators, AddPartitionsRequest request, RequestContextPtr context) {
  const unsigned home = context->loop().index();
  const int32_t coordinator = coordinator_hash(request.transactional_id);
  coordinators.transactions.call_partition<AddPartitionsResult>(
      home, coordinator,
      reply_on<AddPartitionsResult>(
          coordinators.transactions, home,
          [context = std::move(context)](const AddPartitionsResult& result) { respond(*context, result.error); }),
      [request = std::move(request)](auto& state, auto reply, auto now, auto& effects) mutable {
        state.add_partitions(std::move(request), std::move(reply), now, effects);
      });
}

}  // namespace

void handle_add_offsets_to_txn(Coordinators& coordinators, RequestContextPtr context) {
  protocol::AddOffsetsToTxnRequest request;
  if (!context->decode(request)) return;
  if (const ErrorCode error = denial(*context, request); error != ErrorCode::kNone) return respond(*context, error);
  AddPartitionsRequest adds;
  adds.transactional_id = request.transactional_id;
  adds.producer_id = request.producer_id;
  adds.producer_epoch = request.producer_epoch;
  const unsigned home = context->loop().index();
  coordinators.groups.create_topic(home, [&coordinators, home, number = group_hash(request.group_id), adds = std::move(adds),
                                          context = std::move(context)](ErrorCode availability) mutable {
    const int32_t count = coordinators.groups.partition_count(home);
    if (availability == ErrorCode::kNone && count == 0) availability = ErrorCode::kCoordinatorNotAvailable;  // it is gone again
    if (availability != ErrorCode::kNone) return respond(*context, availability);
    adds.partitions.push_back({std::string(GroupCoordinators::kTopic), number % count});
    add(coordinators, std::move(adds), std::move(context));
  });
}

}  // namespace weir::broker
