#include "broker/metrics/group_exposition.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/ascii_case.h"
#include "coordination/group/classic/classic_group.h"

namespace weir::broker {
namespace {

using coordination::ClassicGroupState;

constexpr int64_t kWindowNs = 60 * runtime::kSecond;

}  // namespace

void render_coordinators(const std::string& family, std::string_view topic, const CoordinatorCounts& counts,
                         MetricsRegistry::Sink& sink) {
  for (const auto& [state, count] :
       {std::pair("active", counts.active), std::pair("loading", counts.loading), std::pair("failed", counts.failed)}) {
    sink.gauge(family + "num_partitions", fmt::format("Partitions of {} by the state of their coordinators.", topic),
               {{"state", state}}, static_cast<double>(count));
  }
  const std::string what = fmt::format("Time to load a partition of {} in ms, of those that are served: ", topic);
  const double average = counts.active == 0 ? 0 : static_cast<double>(counts.load_ms_sum) / static_cast<double>(counts.active);
  sink.gauge(family + "partition_load_time_max", what + "the longest.", {}, static_cast<double>(counts.load_ms_max));
  sink.gauge(family + "partition_load_time_avg", what + "the average.", {}, average);
}

GroupExposition::GroupExposition(int64_t start_ns)
    : rebalances_(start_ns, kWindowNs),
      committed_(start_ns, kWindowNs),
      expired_(start_ns, kWindowNs),
      deleted_(start_ns, kWindowNs) {}

void GroupExposition::render(const std::vector<ShardSnapshot>& shards, int64_t now_ns, MetricsRegistry::Sink& sink) {
  uint64_t groups = 0, offsets = 0, pending_offsets = 0;
  coordination::GroupStateCounts states{};
  coordination::GroupTotals totals;
  CoordinatorCounts coordinators;
  for (const ShardSnapshot& shard : shards) {
    coordinators += shard.coordinators;
    groups += shard.groups;
    offsets += shard.group_offsets;
    pending_offsets += shard.pending_offsets;
    for (size_t i = 0; i < states.size(); ++i) states[i] += shard.group_states[i];
    totals += shard.group_totals;
  }
  const std::string older = "kafka_coordinator_group_groupmetadatamanager_";
  sink.gauge(older + "numgroups", "Groups of this broker's coordinators.", {}, static_cast<double>(groups));
  sink.gauge(older + "numoffsets", "Committed offsets of these groups.", {}, static_cast<double>(offsets));
  const std::string family = "kafka_server_group_coordinator_metrics_";
  render_coordinators(family, "__consumer_offsets", coordinators, sink);
  sink.gauge(family + "group_count", "Groups by the protocol they rebalance with.", {{"protocol", "classic"}},
             static_cast<double>(groups));
  sink.gauge(family + "offset_count", "Committed offsets of these groups.", {}, static_cast<double>(offsets));
  sink.gauge("weir_group_pending_offsets", "Offsets that open transactions have committed.", {},
             static_cast<double>(pending_offsets));
  for (size_t i = 0; i < states.size(); ++i) {
    const std::string state(coordination::state_name(static_cast<ClassicGroupState>(i)));
    sink.gauge(older + "numgroups" + lower_case(state), "Groups in the state " + state + ".", {}, static_cast<double>(states[i]));
    sink.gauge(family + "classic_group_count", "Groups by their state.", {{"state", state}}, static_cast<double>(states[i]));
  }
  sink.gauge(older + "numgroupsdead", "Groups in the state Dead: none, they are gone at once.", {}, 0);
  const auto happened = [&](const std::string& name, const std::string& what, uint64_t total, Window<int64_t>& window) {
    const auto now = static_cast<int64_t>(total);
    const auto earlier = window.look(now_ns, now);
    const double seconds = static_cast<double>(now_ns - earlier.at_ns) / 1e9;
    // A coordinator that went took its count along.
    const auto more = static_cast<double>(std::max<int64_t>(now - earlier.total, 0));
    sink.gauge(family + name + "_rate", what + " per second, over the last minute.", {}, seconds > 0 ? more / seconds : 0);
    sink.counter(family + name + "_count", what + ".", {}, static_cast<double>(now));
  };
  happened("group_completed_rebalance", "Rebalances that ended with an assignment", totals.rebalances, rebalances_);
  happened("offset_commit", "Offsets committed", totals.offsets_committed, committed_);
  happened("offset_expiration", "Committed offsets that expired or went with their topic", totals.offsets_expired, expired_);
  happened("offset_deletion", "Committed offsets deleted on demand", totals.offsets_deleted, deleted_);
}

}  // namespace weir::broker
