// Quotas of clients. A client that uses more than its quota in a time has its connection muted.
#pragma once

#include <cstdint>
#include <string_view>

#include "broker/server/api_route.h"
#include "security/authorization/principal.h"

namespace weir::broker {

// The use of one request.
struct QuotaUse {
  ThrottleClass throttle = ThrottleClass::kRequest;
  const security::Principal& principal;
  std::string_view client_id;
  uint64_t request_bytes = 0;
  uint64_t response_bytes = 0;  // 0: there is no answer
};

// One for the process, asked by every shard at once.
class ClientQuotas {
 public:
  virtual ~ClientQuotas() = default;
  // Counts the use. Returns for how many milliseconds the connection is muted now. The answer says so and goes at once.
  virtual int32_t count(const QuotaUse& use) = 0;
};

}  // namespace weir::broker
