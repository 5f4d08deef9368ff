#include "broker/metrics/group_exposition.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/ascii_case.h"
#include "coordination/group/classic/classic_group.h"
#include "coordination/group/consumer/consumer_group.h"

namespace weir::broker {
namespace {

constexpr int64_t kWindowNs = 60 * runtime::kSecond;

constexpr const char* kFamily = "kafka_server_group_coordinator_metrics_";

template <typename Counts>
void add(Counts& counts, const Counts& more) {
  for (size_t i = 0; i < counts.size(); ++i) counts[i] += more[i];
}

// Groups of one type by their state: `counts` is in the order of `State`.
template <typename State, typename Counts>
void render_states(const std::string& type, const Counts& counts, MetricsRegistry::Sink& sink) {
  size_t all = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const std::string state(coordination::state_name(static_cast<State>(i)));
    sink.gauge(kFamily + type + "_group_count", "Groups of the protocol by their state.", {{"state", state}},
               static_cast<double>(counts[i]));
    all += counts[i];
  }
  sink.gauge(std::string(kFamily) + "group_count", "Groups by the protocol they rebalance with.", {{"protocol", type}},
             static_cast<double>(all));
}

// Under the names that Kafka 4.4 calls deprecated, which know classic groups only.
void render_older(const coordination::GroupStateCounts& states, uint64_t offsets, MetricsRegistry::Sink& sink) {
  const std::string older = "kafka_coordinator_group_groupmetadatamanager_";
  size_t groups = 0;
  for (size_t i = 0; i < states.size(); ++i) {
    const std::string state(coordination::state_name(static_cast<coordination::ClassicGroupState>(i)));
    sink.gauge(older + "numgroups" + lower_case(state), "Classic groups in the state " + state + ".", {},
               static_cast<double>(states[i]));
    groups += states[i];
  }
  sink.gauge(older + "numgroups", "Classic groups of this broker's coordinators.", {}, static_cast<double>(groups));
  sink.gauge(older + "numgroupsdead", "Groups in the state Dead: none, they are gone at once.", {}, 0);
  sink.gauge(older + "numoffsets", "Committed offsets of all groups.", {}, static_cast<double>(offsets));
}

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
      consumer_rebalances_(start_ns, kWindowNs),
      committed_(start_ns, kWindowNs),
      expired_(start_ns, kWindowNs),
      deleted_(start_ns, kWindowNs) {}

void GroupExposition::render(const std::vector<ShardSnapshot>& shards, int64_t now_ns, MetricsRegistry::Sink& sink) {
  uint64_t offsets = 0, pending_offsets = 0;
  coordination::GroupStateCounts classic{};
  coordination::ConsumerStateCounts consumer{};
  coordination::GroupTotals totals;
  CoordinatorCounts coordinators;
  for (const ShardSnapshot& shard : shards) {
    coordinators += shard.coordinators;
    offsets += shard.group_offsets;
    pending_offsets += shard.pending_offsets;
    add(classic, shard.classic_groups);
    add(consumer, shard.consumer_groups);
    totals += shard.group_totals;
  }
  const std::string family = kFamily;
  render_older(classic, offsets, sink);
  render_coordinators(family, "__consumer_offsets", coordinators, sink);
  render_states<coordination::ClassicGroupState>("classic", classic, sink);
  render_states<coordination::ConsumerGroupState>("consumer", consumer, sink);
  sink.gauge(family + "offset_count", "Committed offsets of all groups.", {}, static_cast<double>(offsets));
  sink.gauge("weir_group_pending_offsets", "Offsets that open transactions have committed.", {},
             static_cast<double>(pending_offsets));
  const auto happened = [&](const std::string& name, const std::string& what, uint64_t total, Window<int64_t>& window) {
    const auto now = static_cast<int64_t>(total);
    const auto earlier = window.look(now_ns, now);
    const double seconds = static_cast<double>(now_ns - earlier.at_ns) / 1e9;
    // A coordinator that went took its count along.
    const auto more = static_cast<double>(std::max<int64_t>(now - earlier.total, 0));
    sink.gauge(family + name + "_rate", what + " per second, over the last minute.", {}, seconds > 0 ? more / seconds : 0);
    sink.counter(family + name + "_count", what + ".", {}, static_cast<double>(now));
  };
  happened("group_completed_rebalance", "Rebalances of classic groups that ended with an assignment", totals.rebalances,
           rebalances_);
  happened("consumer_group_rebalance", "New epochs of consumer groups", totals.consumer_rebalances, consumer_rebalances_);
  happened("offset_commit", "Offsets committed", totals.offsets_committed, committed_);
  happened("offset_expiration", "Committed offsets that expired or went with their topic", totals.offsets_expired, expired_);
  happened("offset_deletion", "Committed offsets deleted on demand", totals.offsets_deleted, deleted_);
}

}  // namespace weir::broker
