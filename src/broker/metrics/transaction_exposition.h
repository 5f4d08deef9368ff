// The numbers of transactions for /metrics, under Kafka's names where it has them.
#pragma once

#include <vector>

#include "broker/metrics/shard_snapshot.h"
#include "broker/server/metrics.h"

namespace weir::broker {

void render_transactions(const std::vector<ShardSnapshot>& shards, MetricsRegistry::Sink& sink);

}  // namespace weir::broker
