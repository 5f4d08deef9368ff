// Server: the metrics of the server itself. docs/observability.md lists them, and the metrics of its parts.
#include "apps/log_cleaning.h"
#include "apps/server.h"
#include "broker/telemetry/client_telemetry.h"

namespace weir::apps {

// What the shares hold: requests and responses reserve it; tails, groups and indexes of segments have bounds of their own.
uint64_t Server::memory_used(broker::MemoryShare share) const {
  uint64_t used = budget_.used(share);
  if (share == broker::MemoryShare::kTail) {
    for (const auto& shard : opened_.shards) used += shard->tail_cache_bytes();
  }
  if (share == broker::MemoryShare::kIndexes) {
    used += segments_->index_bytes() + static_cast<uint64_t>(groups_->memory().used_bytes());
    used += static_cast<uint64_t>(transactions_->memory().used_bytes());
  }
  return used;
}

void Server::register_metrics() {
  metrics_.collect([this](broker::MetricsRegistry::Sink& sink) {
    static constexpr std::pair<broker::MemoryShare, const char*> kShares[] = {{broker::MemoryShare::kTail, "tail"},
                                                                              {broker::MemoryShare::kRequests, "requests"},
                                                                              {broker::MemoryShare::kResponses, "responses"},
                                                                              {broker::MemoryShare::kIndexes, "indexes"},
                                                                              {broker::MemoryShare::kAnswers, "answers"}};
    for (const auto& [share, name] : kShares) {
      sink.gauge("weir_memory_used_bytes", "Bytes in use of each share of the memory budget.", {{"share", name}},
                 static_cast<double>(memory_used(share)));
      sink.gauge("weir_memory_waiting", "Requests that wait for memory of each share.", {{"share", name}},
                 static_cast<double>(budget_.waiting(share)));
      sink.gauge("weir_memory_limit_bytes", "Size of each share of the memory budget.", {{"share", name}},
                 static_cast<double>(budget_.limit(share)));
    }
    const storage::DiskReserve::State disk = reserves_.front()->state();
    sink.gauge("weir_disk_free_bytes", "Free space of the data folder's disk, without the reserve.", {},
               static_cast<double>(disk.free_bytes));
    sink.gauge("weir_disk_reserve_bytes", "Space set aside for a full disk.", {}, static_cast<double>(disk.reserved_bytes));
    sink.gauge("weir_buffer_bytes", "Bytes of log buffers in use.", {}, static_cast<double>(Buffer::live_bytes()));
    add_cleaner_metrics(sink, cleaner_->stats(), runtime_.clock->wall_ms());
    add_throttle_metrics(sink, throttle_.state());
    sink.gauge("weir_recovery_seconds", "Duration of the recovery at start.", {},
               static_cast<double>(recovery().duration_ms) / 1000);
    sink.gauge("weir_recovery_clean", "1 if the process before this one had ended cleanly.", {}, recovery().clean ? 1 : 0);
    sink.gauge("weir_recovery_bytes", "Bytes of the write-ahead log read by the recovery at start.", {},
               static_cast<double>(recovery().bytes_read));
    sink.gauge("weir_recovery_batches", "Batches the recovery at start took from the write-ahead log.", {},
               static_cast<double>(recovery().batches));
    sink.gauge("weir_build_info", "1, with the version of this program.", {{"version", WEIR_VERSION}}, 1);
    sink.gauge("weir_dirty_bytes_max", "Bound of weir_dirty_bytes of all shards.", {}, static_cast<double>(dirty_bytes_max_));
    sink.gauge("weir_recovery_offline_partitions", "Partitions taken offline by damage found at start.", {},
               static_cast<double>(recovery().offline_partitions));
    add_client_telemetry(sink);
  });
}

void Server::add_client_telemetry(broker::MetricsRegistry::Sink& sink) const {
  double pushes = 0, bytes = 0, refused = 0, clients = 0, dropped = 0;
  for (unsigned i = 0; i < broker_->shard_count(); ++i) {
    const broker::ClientTelemetry::Totals& totals = broker_->telemetry(i).totals();
    pushes += static_cast<double>(totals.pushes.load(std::memory_order_relaxed));
    bytes += static_cast<double>(totals.bytes.load(std::memory_order_relaxed));
    refused += static_cast<double>(totals.refused.load(std::memory_order_relaxed));
    clients += static_cast<double>(totals.clients.load(std::memory_order_relaxed));
    dropped += static_cast<double>(totals.dropped_series.load(std::memory_order_relaxed));
  }
  sink.counter("weir_client_telemetry_pushes_total", "Pushes of client metrics accepted.", {}, pushes);
  sink.counter("weir_client_telemetry_bytes_total", "Bytes of client metrics accepted.", {}, bytes);
  sink.counter("weir_client_telemetry_refused_total", "Requests of clients about their metrics that were refused.", {}, refused);
  sink.counter("weir_client_telemetry_dropped_series_total", "Values that clients pushed and that found no place here.", {},
               dropped);
  sink.gauge("weir_client_telemetry_clients", "Clients whose metrics subscriptions are remembered.", {}, clients);
}

}  // namespace weir::apps
