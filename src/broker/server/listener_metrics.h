// Counters of connections.
#pragma once

#include <array>
#include <deque>
#include <string>
#include <vector>

#include "broker/server/metrics.h"

namespace weir::broker {

// Of the connections of one listener.
struct ListenerMetrics {
  ListenerMetrics(MetricsRegistry& registry, const std::string& listener);
  std::string listener;
  Gauge& connections;
  Counter& accepted;
  Counter& closed;
  Counter& bytes_received;
  Counter& bytes_sent;
};

// Of the frontends of all shards.
struct FrontendMetrics {
  explicit FrontendMetrics(MetricsRegistry& registry, const std::vector<std::string>& listeners = {"PLAINTEXT"});
  ListenerMetrics& of(const std::string& listener);  // one of those named at construction
  int64_t connections() const;
  std::deque<ListenerMetrics> listeners;
  Counter& refused;
  Counter& slow_requests;
  std::array<Counter*, 8> closed;  // by CloseReason
};

}  // namespace weir::broker
