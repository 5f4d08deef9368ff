// The text of /metrics: the registry's counters and the values of the shards' snapshots. Names are those that the JMX exporter
// with Strimzi's rules gives Apache Kafka's metrics. Values without a name in Kafka have weir_*. docs/observability.md lists
// them.
//
// Call render() on a pool thread: with many partitions it makes megabytes of text. One call at a time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/metrics/group_exposition.h"
#include "broker/metrics/shard_snapshot.h"
#include "broker/metrics/transaction_exposition.h"
#include "broker/metrics/window.h"
#include "broker/server/dispatch.h"
#include "broker/server/frontend.h"

namespace weir::broker {

// Objects that live as long as the process, all of them thread-safe.
struct MetricSources {
  const MetricsRegistry& registry;
  const Dispatcher& dispatcher;
  const FrontendMetrics& frontend;
  const MemoryBudget& budget;
};

class Exposition {
 public:
  // Partitions above this number are not listed. weir_unlisted_partitions has their number.
  static constexpr size_t kListedPartitionsMax = 20'000;

  Exposition(MetricSources sources, int64_t start_ns);
  std::string render(const std::vector<ShardSnapshot>& shards, int64_t now_ns);

 private:
  using Sink = MetricsRegistry::Sink;
  struct Times {
    Times(int64_t start_ns);
    Window<Histogram::Snapshot> total, queue, local, remote, send;
  };

  void broker_state(const std::vector<ShardSnapshot>& shards, Sink& sink) const;
  void topic_traffic(const std::vector<ShardSnapshot>& shards, Sink& sink) const;
  void requests(int64_t now_ns, Sink& sink);
  void errors(Sink& sink) const;
  void network(const std::vector<ShardSnapshot>& shards, int64_t now_ns, Sink& sink);
  void flushes(const std::vector<ShardSnapshot>& shards, Sink& sink) const;
  void own(const std::vector<ShardSnapshot>& shards, Sink& sink) const;

  const MetricSources sources_;
  const int64_t start_ns_;
  std::map<const ApiRoute*, std::unique_ptr<Times>> times_;  // of those that were asked for
  GroupExposition groups_;
  TransactionExposition transactions_;
  Window<int64_t> idle_;  // of all shards together
  struct Traffic {
    Traffic(int64_t start_ns);
    Window<int64_t> created, closed, bytes_in, bytes_out;
  };
  std::vector<std::unique_ptr<Traffic>> traffic_;  // by listener and shard
};

// The series of single partitions, as text.
void append_partitions(std::string& out, const std::vector<ShardSnapshot>& shards, size_t most);

}  // namespace weir::broker
