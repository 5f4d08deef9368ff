#include "protocol/messages/init_producer_id.h"

#include <string>
#include <utility>

#include "base/log.h"
#include "broker/handlers/transaction_handlers.h"

namespace weir::broker {
namespace {

using coordination::InitProducerRequest;
using coordination::InitProducerResult;
using ProtocolError = protocol::ErrorCode;

constexpr int16_t kFirstVersionWithFenced = 4;

ProtocolError check(RequestContext& context, const protocol::InitProducerIdRequest& request) {
  if (const auto& id = request.transactional_id) {
    if (!context.may({security::ResourceType::kTransactionalId, *id})) return ProtocolError::kTransactionalIdAuthorizationFailed;
  } else if (!context.may_with_any(security::ResourceType::kTopic)) {
    return ProtocolError::kClusterAuthorizationFailed;
  }
  // Id and epoch come together, or neither.
  if ((request.producer_id == -1) != (request.producer_epoch == -1)) return ProtocolError::kInvalidRequest;
  return ProtocolError::kNone;
}

void respond(RequestContext& context, const InitProducerResult& result) {
  protocol::InitProducerIdResponse response;
  response.error_code = code(without_fenced(result.error, context.version(), kFirstVersionWithFenced));
  response.producer_id = result.producer_id;
  response.producer_epoch = result.producer_epoch;
  context.respond(response);
}

// An idempotent producer's: a new id.
void give_id(Broker& broker, RequestContextPtr context) {
  const unsigned home = context->loop().index();
  broker.next_producer_id(home, [context = std::move(context)](Result<int64_t> id) {
    if (id) return respond(*context, {ProtocolError::kNone, *id, 0});
    log_warn("broker", "No producer id could be allocated: {}. The producer is asked to retry.", id.error().message);
    respond(*context, {ProtocolError::kCoordinatorLoadInProgress});
  });
}

}  // namespace

void handle_init_producer_id(TransactionCoordinators& transactions, RequestContextPtr context) {
  protocol::InitProducerIdRequest request;
  if (!context->decode(request)) return;
  if (const ProtocolError error = check(*context, request); error != ProtocolError::kNone) return respond(*context, {error});
  if (!request.transactional_id) return give_id(transactions.broker(), std::move(context));
  const unsigned home = context->loop().index();
  InitProducerRequest init{std::string(*request.transactional_id), request.transaction_timeout_ms, request.producer_id,
                           request.producer_epoch};
  transactions.call<InitProducerResult>(
      home, *request.transactional_id,
      reply_on<InitProducerResult>(
          transactions, home, [context = std::move(context)](const InitProducerResult& result) { respond(*context, result); }),
      [init = std::move(init)](auto& state, auto reply, auto now, auto& effects) mutable {
        state.init_producer(std::move(init), std::move(reply), now, effects);
      });
}

}  // namespace weir::broker
