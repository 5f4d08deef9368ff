// Tells in the log, once for each client, that it asked for transactions, which this broker does not serve: the only error
// that every client takes as final speaks of authorization and sends people looking for ACLs. Lines per time and clients
// remembered are bounded. Thread-safe.
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

  // For the client of this request.
  void tell(RequestContext& context, std::string_view transactional_id);

 private:
  static constexpr size_t kClientsMax = 1000;

  std::mutex mutex_;  // protects all below
  RateLimit lines_;
  std::set<std::string> told_;
};

}  // namespace weir::broker
