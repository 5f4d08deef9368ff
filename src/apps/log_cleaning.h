// The settings of background work (log.cleaner.*, weir.background.io.percent), and its numbers for /metrics.
#pragma once

#include <cstdint>

#include "broker/config/broker_config.h"
#include "broker/server/metrics.h"
#include "storage/log/log_cleaner.h"

namespace weir::apps {

// `max_memory_bytes`: of the whole process; compaction takes at most an eighth.
storage::LogCleanerOptions cleaner_options(const broker::BrokerConfig& config, uint64_t max_memory_bytes);

storage::BackgroundThrottleOptions throttle_options(const broker::BrokerConfig& config);

void add_cleaner_metrics(broker::MetricsRegistry::Sink& sink, const storage::LogCleanerStats& stats, int64_t now_ms);
void add_throttle_metrics(broker::MetricsRegistry::Sink& sink, const storage::BackgroundThrottle::State& state);

}  // namespace weir::apps
