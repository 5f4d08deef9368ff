#include "apps/log_cleaning.h"

#include <algorithm>

namespace weir::apps {

storage::LogCleanerOptions cleaner_options(const broker::BrokerConfig& config, uint64_t max_memory_bytes) {
  storage::LogCleanerOptions options;
  const int64_t wanted = std::max<int64_t>(config.integer("log.cleaner.dedupe.buffer.size"), 0);
  options.dedupe_buffer_bytes = static_cast<size_t>(std::min(static_cast<uint64_t>(wanted), max_memory_bytes / 8));
  options.threads = static_cast<unsigned>(std::clamp<int64_t>(config.integer("log.cleaner.threads"), 0, 64));
  if (!config.boolean("log.cleaner.enable")) options.threads = 0;
  options.load_factor = std::clamp(broker::parse_config_double(config.text("log.cleaner.io.buffer.load.factor")), 0.05, 0.95);
  options.io_bytes_per_second_max =
      std::max(1.0, broker::parse_config_double(config.text("log.cleaner.io.max.bytes.per.second")));
  options.backoff_ms = config.integer("log.cleaner.backoff.ms");
  return options;
}

storage::BackgroundThrottleOptions throttle_options(const broker::BrokerConfig& config) {
  storage::BackgroundThrottleOptions options;
  options.share = static_cast<double>(config.integer("weir.background.io.percent")) / 100;
  return options;
}

void add_cleaner_metrics(broker::MetricsRegistry::Sink& sink, const storage::LogCleanerStats& stats, int64_t now_ms) {
  const auto gauge = [&](const char* name, const char* help, double value) { sink.gauge(name, help, {}, value); };
  gauge("kafka_log_logcleanermanager_uncleanable_partitions_count",
        "Partitions that compaction leaves out until the next start, for damage.",
        static_cast<double>(stats.uncleanable_partitions));
  gauge("kafka_log_logcleanermanager_max_dirty_percent", "Dirty part of the dirtiest compacted partition.",
        stats.max_dirty_percent);
  if (stats.last_look_ms >= 0) {
    gauge("kafka_log_logcleanermanager_time_since_last_run_ms", "Since compaction last looked for something to do.",
          static_cast<double>(now_ms - stats.last_look_ms));
  }
  gauge("kafka_log_logcleaner_max_clean_time_secs", "Duration of the last compaction.",
        static_cast<double>(stats.last_run_ms) / 1000);
  if (stats.bytes_before > 0) {
    gauge("kafka_log_logcleaner_cleaner_recopy_percent", "Part of the bytes that compactions have kept.",
          100.0 * static_cast<double>(stats.bytes_after) / static_cast<double>(stats.bytes_before));
  }
  gauge("weir_compactions_running", "Partitions being compacted.", static_cast<double>(stats.running));
  sink.counter("weir_compactions_total", "Compactions of a partition that ended well.", {}, static_cast<double>(stats.runs));
  sink.counter("weir_compactions_failed_total", "Compactions of a partition that failed.", {},
               static_cast<double>(stats.failed_runs));
  sink.counter("weir_compaction_removed_bytes_total", "Bytes that compactions have removed.", {},
               static_cast<double>(stats.bytes_before - std::min(stats.bytes_before, stats.bytes_after)));
}

void add_throttle_metrics(broker::MetricsRegistry::Sink& sink, const storage::BackgroundThrottle::State& state) {
  sink.gauge("weir_background_holding", "1 while flushes are slow and checkpoints, compaction and removals are held back.", {},
             state.holding ? 1 : 0);
  sink.counter("weir_background_held_seconds_total", "Time that checkpoints, compaction and removals were held back, added up.",
               {}, static_cast<double>(state.held_ns) / 1e9);
  sink.counter("weir_background_bytes_total", "Bytes that checkpoints and compaction have written and read.", {},
               static_cast<double>(state.bytes));
  sink.gauge("weir_background_disk_bytes_per_second", "Measured rate of the disk, of which the background gets a share.", {},
             state.bytes_per_second);
  sink.gauge("weir_background_idle_flush_seconds", "p99 of flushes while nothing goes on in the background.", {},
             static_cast<double>(state.idle_flush_ns) / 1e9);
}

}  // namespace weir::apps
