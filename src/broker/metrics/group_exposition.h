// The numbers of consumer groups for /metrics, under Kafka's names: groups by state, and rates of commits and of completed
// rebalances. One thread at a time.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "broker/metrics/shard_snapshot.h"
#include "broker/metrics/window.h"
#include "broker/server/metrics.h"

namespace weir::broker {

// The numbers of the coordinators of one kind, whose partitions are those of `topic`.
void render_coordinators(const std::string& family, std::string_view topic, const CoordinatorCounts& counts,
                         MetricsRegistry::Sink& sink);

class GroupExposition {
 public:
  explicit GroupExposition(int64_t start_ns);
  void render(const std::vector<ShardSnapshot>& shards, int64_t now_ns, MetricsRegistry::Sink& sink);

 private:
  Window<int64_t> rebalances_, consumer_rebalances_, committed_, expired_, deleted_;
};

}  // namespace weir::broker
