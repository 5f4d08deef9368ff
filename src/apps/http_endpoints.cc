#include "apps/http_endpoints.h"

#include <fmt/format.h>

#include "apps/shard_report.h"

namespace weir::apps {

namespace {

constexpr const char* kJson = "application/json";
constexpr const char* kPrometheus = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace

HttpEndpoints::HttpEndpoints(runtime::Loop& loop, Server& server) : server_(server), http_(loop) {
  http_.get("/health", [this](http::Respond respond) { health(std::move(respond)); });
  http_.get("/ready", [this](http::Respond respond) { ready(std::move(respond)); });
  http_.get("/metrics", [this](http::Respond respond) { metrics(std::move(respond)); });
}

void HttpEndpoints::health(http::Respond respond) {
  gather_reports(server_.broker(), 0, false, [reply = std::move(respond)](std::vector<ShardReport> reports) mutable {
    size_t failed = 0;
    uint64_t offline = 0;
    bool disk_full = false;
    int64_t p99 = 0;
    for (const ShardReport& report : reports) {
      failed += report.log_failed ? 1 : 0;
      offline += report.offline_partitions;
      disk_full |= report.disk_full;
      p99 = std::max(p99, report.flush_p99_ns);
    }
    // A failed log serves reads only: somebody must restart the broker.
    const char* status = failed ? "fail" : offline || disk_full ? "warn" : "pass";
    reply({failed ? 503 : 200,
           fmt::format("{{\"status\":\"{}\",\"version\":\"{}\",\"failed_shards\":{},\"offline_partitions\":{},"
                       "\"disk_full\":{},\"flush_p99_us\":{}}}\n",
                       status, WEIR_VERSION, failed, offline, disk_full, p99 / 1000),
           kJson});
  });
}

void HttpEndpoints::ready(http::Respond respond) {
  const bool is_ready = server_.ready();
  respond({is_ready ? 200 : 503, is_ready ? "{\"ready\":true}\n" : "{\"ready\":false}\n", kJson});
}

void HttpEndpoints::metrics(http::Respond respond) {
  gather_reports(server_.broker(), 0, true, [this, reply = std::move(respond)](std::vector<ShardReport> reports) mutable {
    reply({200,
           server_.metrics().scrape([&](broker::MetricsRegistry::Sink& sink) { add_to_metrics(reports, sink); }),
           kPrometheus});
  });
}

}  // namespace weir::apps
