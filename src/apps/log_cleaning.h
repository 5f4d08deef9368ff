// The settings log.cleaner.* for the LogCleaner, and its numbers for /metrics.
#pragma once

#include <cstdint>

#include "broker/config/broker_config.h"
#include "broker/server/metrics.h"
#include "storage/log/log_cleaner.h"

namespace weir::apps {

// `max_memory_bytes`: of the whole process; compaction takes at most an eighth.
storage::LogCleanerOptions cleaner_options(const broker::BrokerConfig& config, uint64_t max_memory_bytes);

void add_cleaner_metrics(broker::MetricsRegistry::Sink& sink, const storage::LogCleanerStats& stats, int64_t now_ms);

}  // namespace weir::apps
