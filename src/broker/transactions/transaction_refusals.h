// Refuses transactions, which this broker does not serve, with TRANSACTIONAL_ID_AUTHORIZATION_FAILED: the only error that every
// client takes as final. It speaks of authorization and sends people looking for ACLs, so the log tells the reason, once for each
// client. Lines per time and clients remembered are bounded. Thread-safe.
#pragma once

#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "base/rate_limit.h"
#include "broker/server/request_context.h"

namespace weir::broker {

class TransactionRefusals {
 public:
  static constexpr std::string_view kReason =
      "This broker does not serve transactions yet (no permission is missing); remove transactional.id from the producer's "
      "configuration";

  // Returns the text for the error, and tells the log. A client without the right to the id gets no text, for the error says all.
  std::string_view refuse(RequestContext& context, std::string_view transactional_id);

 private:
  void tell(RequestContext& context, std::string_view transactional_id);

  static constexpr size_t kClientsMax = 1000;

  std::mutex mutex_;  // protects all below
  RateLimit lines_;
  std::set<std::string> told_;
};

}  // namespace weir::broker
