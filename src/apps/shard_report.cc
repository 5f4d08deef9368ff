#include "apps/shard_report.h"

#include <utility>

#include "storage/wal/local_wal.h"

namespace weir::apps {

namespace {

std::string topic_name(const broker::BrokerShard& shard, const TopicId& id) {
  const broker::Topic* topic = shard.image->find(id);
  return topic ? topic->name() : id.to_string();
}

ShardReport report_of(broker::BrokerShard& shard, bool with_partitions) {
  storage::LogShard& log = shard.log;
  ShardReport report;
  report.log_failed = log.failed();
  report.partitions = log.partition_count();
  report.unmerged_bytes = log.unmerged_bytes();
  report.tail_cache_bytes = log.tail_cache_bytes();
  if (const auto* wal = dynamic_cast<const storage::LocalWal*>(&log.wal())) {
    report.flushes = wal->flushes();
    report.written_bytes = wal->written_bytes();
    report.flush_p50_ns = wal->flush_latency().percentile_ns(0.5);
    report.flush_p99_ns = wal->flush_latency().percentile_ns(0.99);
    report.disk_full = wal->preparation_error().has_value();
  }
  const bool detailed = with_partitions && report.partitions <= kReportedPartitionsMax;
  log.for_each([&](storage::Partition& partition) {
    if (partition.offline()) ++report.offline_partitions;
    if (!detailed) return;
    report.detail.push_back({topic_name(shard, partition.id().topic), partition.id().index, partition.size_bytes(),
                             partition.log_start_offset(), partition.high_watermark(),
                             partition.manifest().segments.size()});
  });
  return report;
}

}  // namespace

void gather_reports(broker::Broker& broker, unsigned home, bool with_partitions,
                    Function<void(std::vector<ShardReport>)> done) {
  struct Round {
    std::vector<ShardReport> reports;
    size_t left;
    Function<void(std::vector<ShardReport>)> done;
  };
  const unsigned count = broker.shard_count();
  auto round = std::make_shared<Round>(Round{std::vector<ShardReport>(count), count, std::move(done)});
  for (unsigned i = 0; i < count; ++i) {
    broker.run_on(i, [&broker, round, i, home, with_partitions] {
      broker.run_on(home, [round, i, report = report_of(broker.shard(i), with_partitions)]() mutable {
        round->reports[i] = std::move(report);
        if (--round->left == 0) round->done(std::move(round->reports));
      });
    });
  }
}

void add_to_metrics(const std::vector<ShardReport>& reports, broker::MetricsRegistry::Sink& sink) {
  double partitions = 0;
  double offline = 0;
  for (size_t i = 0; i < reports.size(); ++i) {
    const ShardReport& report = reports[i];
    const broker::MetricLabels shard{{"shard", std::to_string(i)}};
    partitions += static_cast<double>(report.partitions);
    offline += static_cast<double>(report.offline_partitions);
    const std::pair<const char*, double> levels[] = {
        {"weir_unmerged_bytes", static_cast<double>(report.unmerged_bytes)},
        {"weir_tail_cache_bytes", static_cast<double>(report.tail_cache_bytes)},
        {"weir_wal_flushes", static_cast<double>(report.flushes)},
        {"weir_wal_written_bytes", static_cast<double>(report.written_bytes)},
        {"weir_wal_flush_p50_seconds", static_cast<double>(report.flush_p50_ns) / 1e9},
        {"weir_wal_flush_p99_seconds", static_cast<double>(report.flush_p99_ns) / 1e9},
        {"weir_wal_failed", report.log_failed ? 1.0 : 0.0}};
    for (const auto& [name, value] : levels) sink.gauge(name, "Of the write-ahead log of each shard.", shard, value);
    for (const PartitionReport& p : report.detail) {
      const broker::MetricLabels labels{{"topic", p.topic}, {"partition", std::to_string(p.partition)}};
      sink.gauge("kafka_log_log_size", "Bytes of a partition's log.", labels, static_cast<double>(p.size_bytes));
      sink.gauge("kafka_log_log_logstartoffset", "First offset of a partition.", labels,
                 static_cast<double>(p.log_start_offset));
      sink.gauge("kafka_log_log_logendoffset", "End of what is readable of a partition.", labels,
                 static_cast<double>(p.log_end_offset));
      sink.gauge("kafka_log_log_numlogsegments", "Segment files of a partition.", labels,
                 static_cast<double>(p.segments));
    }
  }
  sink.gauge("kafka_server_replicamanager_partitioncount", "Partitions of this broker.", {}, partitions);
  sink.gauge("kafka_server_replicamanager_leadercount", "Partitions this broker leads.", {}, partitions - offline);
  sink.gauge("kafka_server_replicamanager_offlinereplicacount", "Partitions that are offline.", {}, offline);
  sink.gauge("kafka_server_replicamanager_underreplicatedpartitions", "Partitions with too few replicas.", {}, 0);
}

}  // namespace weir::apps
