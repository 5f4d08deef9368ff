// The metrics that clients have pushed, as text of /metrics.
#pragma once

#include <string>
#include <vector>

#include "broker/metrics/shard_snapshot.h"

namespace weir::broker {

void append_client_metrics(std::string& out, const std::vector<ShardSnapshot>& shards);

}  // namespace weir::broker
