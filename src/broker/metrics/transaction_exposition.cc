#include "broker/metrics/transaction_exposition.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "broker/metrics/group_exposition.h"

namespace weir::broker {

using coordination::EndingTimes;
using coordination::TransactionState;
using coordination::TransactionTotals;

TransactionExposition::TransactionExposition(int64_t start_ns) : verification_times_(start_ns, kQuantileSpanNs) {}

void TransactionExposition::verifications(const ShardSnapshot& all, int64_t now_ns, MetricsRegistry::Sink& sink) {
  const std::string family = "kafka_server_addpartitionstotxnmanager_verification";
  const Histogram::Snapshot& times = all.verification_times;
  sink.counter(family + "timems_count", "Questions to coordinators about the partitions of writes.", {},
               static_cast<double>(times.count));
  const Histogram::Snapshot recent = times.since(verification_times_.look(now_ns, times).total);
  for (const auto& [q, label] : kQuantiles) {
    if (recent.count == 0) break;
    sink.gauge(family + "timems", "Time of such a question.", {{"quantile", label}},
               static_cast<double>(recent.quantile_ns(q)) / 1e6);
  }
  sink.counter(family + "failurerate_count", "Partitions that were refused.", {}, static_cast<double>(all.verifications_refused));
}

void TransactionExposition::endings(const EndingTimes& times, MetricsRegistry::Sink& sink) {
  const auto put = [&](const char* suffix, const MetricLabels& labels, double value) {
    sink.histogram("weir_transaction_commit_seconds",
                   "Time from the decision to end a transaction until its markers are everywhere.", suffix, labels, value);
  };
  uint64_t seen = 0;
  for (size_t i = 0; i < EndingTimes::kBuckets; ++i) {
    seen += times.counts[i];
    const bool last = i + 1 == EndingTimes::kBuckets;
    const std::string bound = last ? "+Inf" : fmt::format("{}", static_cast<double>(EndingTimes::bound_ms(i)) / 1e3);
    put("_bucket", {{"le", bound}}, static_cast<double>(seen));
  }
  put("_sum", {}, static_cast<double>(times.sum_ms) / 1e3);
  put("_count", {}, static_cast<double>(seen));
}

void TransactionExposition::render(const std::vector<ShardSnapshot>& shards, int64_t now_ns, MetricsRegistry::Sink& sink) {
  TransactionTotals totals;
  CoordinatorCounts coordinators;
  uint64_t producers = 0, markers = 0;
  int64_t oldest_ms = 0;
  for (const ShardSnapshot& shard : shards) {
    coordinators += shard.transaction_coordinators;
    totals += shard.transactions;
    producers += shard.producers;
    markers += shard.markers_written;
    oldest_ms = std::max(oldest_ms, shard.oldest_transaction_ms);
  }
  const auto gauge = [&](const std::string& name, const char* help, auto value) {
    sink.gauge(name, help, {}, static_cast<double>(value));
  };
  render_coordinators("kafka_server_transaction_coordinator_metrics_", "__transaction_state", coordinators, sink);
  const std::string channel = "kafka_coordinator_transaction_transactionmarkerchannelmanager_";
  gauge(channel + "unknowndestinationqueuesize", "Markers whose partition cannot take them now.", totals.markers_to_retry);
  gauge(channel + "logappendretryqueuesize", "Ends of transactions that could not be noted: none, the coordinator loads anew.",
        0);
  verifications(shards.front(), now_ns, sink);
  gauge("kafka_server_replicamanager_produceridcount", "Producers that partitions remember.", producers);
  gauge("kafka_server_replicamanager_partitionswithlatetransactionscount",
        "Partitions with a transaction that is open for longer than transaction.max.timeout.ms and five minutes, as of the last "
        "look five minutes ago at most.",
        shards.front().late_partitions);

  for (size_t i = 0; i < totals.by_state.size(); ++i) {
    sink.gauge("weir_transactions", "Transactional ids by the state of their transaction.",
               {{"state", std::string(coordination::name_of(static_cast<TransactionState>(i)))}},
               static_cast<double>(totals.by_state[i]));
  }
  for (const auto& [result, count] : {std::pair("commit", totals.commits), std::pair("abort", totals.aborts)}) {
    sink.counter("weir_transactions_ended_total", "Transactions that ended, by how.", {{"result", result}},
                 static_cast<double>(count));
  }
  sink.counter("weir_transaction_timeouts_total", "Transactions aborted because their time was over.", {},
               static_cast<double>(totals.timeouts));
  sink.counter("weir_transaction_markers_total", "Markers written into partitions.", {}, static_cast<double>(markers));
  sink.counter("weir_transaction_marker_retries_total", "Markers that were tried again.", {},
               static_cast<double>(totals.marker_retries));
  endings(totals.endings, sink);
  gauge("weir_transaction_parked", "Writes that wait for the end of their producer's transaction before.", totals.parked);
  gauge("weir_transaction_oldest_open_seconds", "Age of the oldest open transaction.", static_cast<double>(oldest_ms) / 1e3);
  gauge("weir_transaction_memory_bytes", "What transactions hold in memory, estimated.", shards.front().transaction_memory_bytes);
  gauge("weir_orphan_transactions", "Open transactions in partitions that no coordinator knows, as of the last look.",
        shards.front().orphan_transactions);
  sink.counter("weir_orphan_transactions_aborted_total", "Such transactions that were aborted.", {},
               static_cast<double>(shards.front().orphans_aborted));
}

}  // namespace weir::broker
