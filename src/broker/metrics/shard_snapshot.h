// The values of each shard for /metrics and /health, taken on the shard's own thread and put together on the caller's. With
// partitions, a shard copies a few hundred of them between its other work, so no client waits for a scrape, even of many
// partitions. The numbers of one snapshot are therefore not all of one moment.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/function.h"
#include "broker/broker.h"
#include "broker/coordinators/coordinator_host.h"
#include "broker/coordinators/coordinators.h"
#include "broker/server/metrics.h"
#include "broker/telemetry/client_metrics.h"
#include "coordination/group/group_coordinator_state.h"
#include "coordination/transaction/transaction_messages.h"
#include "storage/log/partition_traffic.h"
#include "storage/wal/wal.h"

namespace weir::broker {

struct PartitionSnapshot {
  storage::PartitionId id;
  uint64_t size_bytes = 0;
  int64_t log_start_offset = 0;
  int64_t high_watermark = 0;
  uint32_t segments = 0;
  bool offline = false;
  storage::PartitionTraffic traffic;
};

struct ShardSnapshot {
  int64_t taken_ns = 0;  // monotonic
  int64_t pause_ns = 0;  // the longest time that it held up the shard at a stretch
  MetadataImagePtr image;
  bool log_failed = false;
  bool disk_full = false;
  bool checkpoint_failing = false;
  uint64_t partitions = 0;
  uint64_t offline_partitions = 0;
  uint64_t unreadable_segments = 0;
  std::vector<storage::LogShard::UnreadableSegment> unreadable;  // some of them
  uint64_t failing_reads = 0;                                    // partitions
  uint64_t read_failures = 0;
  std::vector<storage::FailingRead> failing;  // some of them
  uint64_t dirty_bytes = 0;
  uint64_t tail_cache_bytes = 0;
  uint64_t pending_appends = 0;
  uint64_t held_appends = 0;
  uint64_t producers = 0;
  uint64_t producers_evicted = 0;
  storage::WalMeasures wal;
  storage::CheckpointTotals checkpoints;
  int64_t idle_ns = 0;
  uint64_t waiting_fetches = 0;
  uint64_t fetch_sessions = 0;
  uint64_t fetch_session_evictions = 0;
  CoordinatorCounts coordinators;
  uint64_t group_offsets = 0;
  uint64_t pending_offsets = 0;  // of open transactions
  std::vector<ClientMetricsPtr> client_metrics;
  coordination::GroupStateCounts classic_groups{};
  coordination::ConsumerStateCounts consumer_groups{};
  coordination::GroupTotals group_totals;
  CoordinatorCounts transaction_coordinators;
  coordination::TransactionTotals transactions;
  int64_t oldest_transaction_ms = 0;  // age of the oldest open one; 0 if none is open
  uint64_t markers_written = 0;
  // Of all shards together, in the snapshot of shard 0: questions about the partitions of writes, memory, and the sweep for open
  // transactions that no coordinator knows.
  Histogram::Snapshot verification_times;
  int64_t verifications_refused = 0;
  int64_t transaction_memory_bytes = 0;
  uint64_t orphan_transactions = 0;
  uint64_t orphans_aborted = 0;
  uint64_t late_partitions = 0;
  std::vector<std::pair<TopicId, TopicCounts>> topics;
  TopicCounts gone_topics;
  storage::PartitionTraffic gone_partitions;
  std::vector<PartitionSnapshot> rows;  // if asked for
};

enum class SnapshotDetail { kShards, kPartitions };

// One snapshot per shard of the broker. Called on shard `home`; `done` runs there. `coordinators` outlives it.
void take_snapshots(const Coordinators& coordinators, unsigned home, SnapshotDetail detail,
                    Function<void(std::vector<ShardSnapshot>)> done);

}  // namespace weir::broker
