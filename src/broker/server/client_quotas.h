// Quotas of clients: how much each may use in a time, and how long its connection is muted after it used more.
#pragma once

#include <cstdint>
#include <string_view>

#include "broker/server/api_route.h"
#include "security/authorization/principal.h"

namespace weir::broker {

// What a request used.
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
  // Counts it. Returns for how many milliseconds its connection is muted now; the answer says so and goes at once.
  virtual int32_t count(const QuotaUse& use) = 0;
};

}  // namespace weir::broker
