#include "broker/handlers/init_producer_id.h"

#include <utility>

#include "base/log.h"
#include "broker/transactions/transaction_refusals.h"
#include "protocol/messages/init_producer_id.h"

namespace weir::broker {
namespace {

using ProtocolError = protocol::ErrorCode;

ProtocolError check(Broker& broker, RequestContext& context, const protocol::InitProducerIdRequest& request) {
  if (const auto& id = request.transactional_id) {
    if (id->empty() && context.may({security::ResourceType::kTransactionalId, *id})) return ProtocolError::kInvalidRequest;
    broker.transaction_refusals().refuse(context, *id);
    return ProtocolError::kTransactionalIdAuthorizationFailed;
  }
  if (!context.may_with_any(security::ResourceType::kTopic)) return ProtocolError::kClusterAuthorizationFailed;
  // Id and epoch come together, or neither.
  if ((request.producer_id == -1) != (request.producer_epoch == -1)) return ProtocolError::kInvalidRequest;
  return ProtocolError::kNone;
}

}  // namespace

void handle_init_producer_id(Broker& broker, RequestContextPtr context) {
  protocol::InitProducerIdRequest request;
  if (!context->decode(request)) return;
  protocol::InitProducerIdResponse response;
  response.producer_epoch = -1;
  if (const ProtocolError error = check(broker, *context, request); error != ProtocolError::kNone) {
    response.error_code = code(error);
    return context->respond(response);
  }
  const unsigned home = context->loop().index();
  broker.next_producer_id(home, [context = std::move(context), response](Result<int64_t> id) mutable {
    if (id) {
      response.producer_id = *id;
      response.producer_epoch = 0;
    } else {
      log_warn("broker", "No producer id could be allocated: {}. The producer is asked to retry.", id.error().message);
      response.error_code = code(ProtocolError::kCoordinatorLoadInProgress);
    }
    context->respond(response);
  });
}

}  // namespace weir::broker
