// The numbers of transactions for /metrics, under Kafka's names where it has them. One thread at a time.
#pragma once

#include <vector>

#include "broker/metrics/shard_snapshot.h"
#include "broker/metrics/window.h"
#include "broker/server/metrics.h"

namespace weir::broker {

class TransactionExposition {
 public:
  explicit TransactionExposition(int64_t start_ns);
  void render(const std::vector<ShardSnapshot>& shards, int64_t now_ns, MetricsRegistry::Sink& sink);

 private:
  void verifications(const ShardSnapshot& all, int64_t now_ns, MetricsRegistry::Sink& sink);
  static void endings(const coordination::EndingTimes& times, MetricsRegistry::Sink& sink);

  Window<Histogram::Snapshot> verification_times_;
};

}  // namespace weir::broker
