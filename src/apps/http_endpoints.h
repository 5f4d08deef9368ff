// The broker's HTTP paths: /health (what state it is in, and what is known of it), /ready (takes requests), /metrics
// (Prometheus; docs/observability.md).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "apps/server.h"
#include "base/lifetime.h"
#include "broker/metrics/exposition.h"
#include "broker/metrics/group_lag.h"
#include "http/http_server.h"

namespace weir::apps {

// The answer of /health, from the snapshots of the shards. `reason` names the fault, and `remedy` what to do about it.
struct HealthInfo {
  std::string flush_mode;  // weir.flush
  storage::RecoveryStats recovery;
  bool first_start = false;
  uint64_t dirty_bytes_max = 0;
  bool groups_refused = false;  // for want of memory, within the last minute
  bool transactions_refused = false;
  size_t uncleanable_partitions = 0;
  std::vector<storage::UncleanablePartition> uncleanable;  // some of them
};
http::Response health_response(const std::vector<broker::ShardSnapshot>& shards, const HealthInfo& info);

// On loop 0. `server` outlives it.
class HttpEndpoints {
 public:
  // `host_names`: see HttpServer::Options.
  HttpEndpoints(runtime::Loop& loop, runtime::Pool& pool, Server& server, std::vector<std::string> host_names);
  Result<runtime::Endpoint> listen(const runtime::Endpoint& address) { return http_.listen(address); }

 private:
  void health(http::Respond respond);
  void ready(http::Respond respond);
  void metrics(http::Respond respond);
  void render(std::vector<broker::ShardSnapshot> shards, broker::GroupLags lags);

  runtime::Loop& loop_;
  runtime::Pool& pool_;
  Server& server_;
  // Used by one pool task at a time, which may outlive this object.
  std::shared_ptr<broker::Exposition> exposition_;
  broker::GroupLagCollector group_lags_;
  std::vector<http::Respond> scrapers_;  // all are answered by the scrape under way
  http::HttpServer http_;
  Lifetime lifetime_;  // ends first
};

}  // namespace weir::apps
