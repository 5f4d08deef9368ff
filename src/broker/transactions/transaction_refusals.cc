#include "broker/transactions/transaction_refusals.h"

#include <fmt/format.h>

#include "base/log.h"

namespace weir::broker {

std::string_view TransactionRefusals::refuse(RequestContext& context, std::string_view transactional_id) {
  if (!context.may({security::ResourceType::kTransactionalId, transactional_id})) return {};
  tell(context, transactional_id);
  return kReason;
}

void TransactionRefusals::tell(RequestContext& context, std::string_view transactional_id) {
  constexpr size_t kShown = 100;
  const std::string& host = context.connection().peer.host;
  const std::string_view client = context.client_id().substr(0, kShown);
  const std::lock_guard lock(mutex_);
  std::string key = fmt::format("{}@{}", client, host);
  uint64_t suppressed = 0;
  if (told_.contains(key)) return;
  // A client that gets no line now gets one when it asks again.
  if (!lines_.admit(context.loop().clock().monotonic_ns() / runtime::kMillisecond, suppressed)) return;
  if (told_.size() == kClientsMax) told_.clear();
  told_.insert(std::move(key));
  log_event(LogLevel::kWarn, "broker",
            {.what = fmt::format("Refused client '{}' from {}, which asked for transactions (transactional.id '{}')", client,
                                 host, transactional_id.substr(0, kShown)),
             .reason = "this broker does not serve transactions yet; no permission is missing, though the client says so",
             .remedy = "Remove transactional.id from the producer's configuration; enable.idempotence works without"});
}

}  // namespace weir::broker
