// The process_* metrics that clients of Prometheus know, and Kafka's gauges of disk traffic.
#pragma once

#include "broker/server/metrics.h"
#include "runtime/machine.h"

namespace weir::apps {

void report_process(const runtime::ProcessUsage& usage, broker::MetricsRegistry::Sink& sink);

}  // namespace weir::apps
