#include "protocol/messages/end_txn.h"

#include <string>
#include <utility>

#include "broker/handlers/transaction_handlers.h"

namespace weir::broker {

using coordination::EndTransactionRequest;
using coordination::EndTransactionResult;
using coordination::TransactionVersion;
using protocol::ErrorCode;

namespace {

constexpr int16_t kFirstVersionWithFenced = 2;
constexpr int16_t kFirstVersionOfTwo = 5;  // of transaction.version 2

}  // namespace

void handle_end_txn(TransactionCoordinators& transactions, RequestContextPtr context) {
  protocol::EndTxnRequest request;
  if (!context->decode(request)) return;
  if (!context->may({security::ResourceType::kTransactionalId, request.transactional_id})) {
    protocol::EndTxnResponse response;
    response.error_code = code(ErrorCode::kTransactionalIdAuthorizationFailed);
    return context->respond(response);
  }
  const auto version = context->version() >= kFirstVersionOfTwo ? TransactionVersion::kTwo : TransactionVersion::kZero;
  EndTransactionRequest end{std::string(request.transactional_id), request.producer_id, request.producer_epoch, request.committed,
                            version};
  const unsigned home = context->loop().index();
  transactions.call<EndTransactionResult>(
      home, request.transactional_id,
      reply_on<EndTransactionResult>(transactions, home,
                                     [context = std::move(context)](const EndTransactionResult& result) {
                                       protocol::EndTxnResponse response;
                                       response.error_code =
                                           code(without_fenced(result.error, context->version(), kFirstVersionWithFenced));
                                       response.producer_id = result.producer_id;
                                       response.producer_epoch = result.producer_epoch;
                                       context->respond(response);
                                     }),
      [end = std::move(end)](auto& state, auto reply, auto now, auto& effects) {
        state.end_transaction(end, std::move(reply), now, effects);
      });
}

}  // namespace weir::broker
