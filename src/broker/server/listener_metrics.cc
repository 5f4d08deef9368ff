#include "broker/server/listener_metrics.h"

namespace weir::broker {

namespace {

constexpr std::array<const char*, 8> kReasonNames = {"peer",    "protocol", "foreign",  "idle",
                                                     "stalled", "io",       "shutdown", "dropped"};

}  // namespace

ListenerMetrics::ListenerMetrics(MetricsRegistry& registry, const std::string& name)
    : listener(name),
      connections(registry.shard_gauge("kafka_server_socket_server_metrics_connection_count", "Open client connections.",
                                       {{"listener", name}})),
      accepted(registry.shard_counter("kafka_server_socket_server_metrics_connection_creation_total", "Connections accepted.",
                                      {{"listener", name}})),
      closed(registry.shard_counter("kafka_server_socket_server_metrics_connection_close_total", "Connections closed.",
                                    {{"listener", name}})),
      bytes_received(registry.shard_counter("kafka_server_socket_server_metrics_incoming_byte_total",
                                            "Bytes received from clients.", {{"listener", name}})),
      bytes_sent(registry.shard_counter("kafka_server_socket_server_metrics_outgoing_byte_total", "Bytes sent to clients.",
                                        {{"listener", name}})) {}

FrontendMetrics::FrontendMetrics(MetricsRegistry& registry, const std::vector<std::string>& names)
    : refused(registry.counter("weir_connections_refused_total", "Connections refused by a limit.")),
      slow_requests(registry.counter("weir_slow_requests_total", "Requests that took weir.slow.request.ms or longer.")) {
  for (const std::string& name : names) listeners.emplace_back(registry, name);
  for (size_t i = 0; i < closed.size(); ++i) {
    closed[i] = &registry.counter("weir_connections_closed_total", "Connections closed, by who or what ended them.",
                                  {{"reason", kReasonNames[i]}});
  }
}

ListenerMetrics& FrontendMetrics::of(const std::string& listener) {
  for (ListenerMetrics& one : listeners) {
    if (one.listener == listener) return one;
  }
  return listeners.front();
}

int64_t FrontendMetrics::connections() const {
  int64_t sum = 0;
  for (const ListenerMetrics& one : listeners) sum += one.connections.total();
  return sum;
}

}  // namespace weir::broker
