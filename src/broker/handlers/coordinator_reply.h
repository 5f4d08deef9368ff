// A reply for a coordinator. The coordinator calls it on its own shard, and `respond(result)` runs on shard `home`.
#pragma once

#include <utility>

#include "base/function.h"
#include "broker/broker.h"
#include "broker/coordinators/coordinator_host.h"

namespace weir::broker {

template <typename Result, typename Respond>
Function<void(Result)> reply_on(CoordinatorHost& coordinators, unsigned home, Respond respond) {
  return [&broker = coordinators.broker(), home, respond = std::move(respond)](Result result) mutable {
    broker.run_on(home, [respond = std::move(respond), result = std::move(result)]() mutable { respond(result); });
  };
}

}  // namespace weir::broker
