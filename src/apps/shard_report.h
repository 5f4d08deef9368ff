// What the shards say of themselves for /health and /metrics: gathered on each shard's own thread, put together on the
// asking one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/function.h"
#include "broker/broker.h"
#include "broker/server/metrics.h"

namespace weir::apps {

struct PartitionReport {
  std::string topic;
  int32_t partition = 0;
  uint64_t size_bytes = 0;
  int64_t log_start_offset = 0;
  int64_t log_end_offset = 0;
  size_t segments = 0;
};

struct ShardReport {
  bool log_failed = false;
  uint64_t partitions = 0;
  uint64_t offline_partitions = 0;
  uint64_t unmerged_bytes = 0;
  uint64_t tail_cache_bytes = 0;
  uint64_t flushes = 0;
  uint64_t written_bytes = 0;
  int64_t flush_p50_ns = 0;
  int64_t flush_p99_ns = 0;
  bool disk_full = false;
  std::vector<PartitionReport> detail;
};

// Partitions beyond this are not reported one by one: rendering them would hold up the shard that scrapes.
inline constexpr size_t kReportedPartitionsMax = 1000;

// One report per shard. `done` runs on shard `home`, from where this is called.
void gather_reports(broker::Broker& broker, unsigned home, bool with_partitions,
                    Function<void(std::vector<ShardReport>)> done);

void add_to_metrics(const std::vector<ShardReport>& reports, broker::MetricsRegistry::Sink& sink);

}  // namespace weir::apps
