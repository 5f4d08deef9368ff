// The broker's HTTP paths: /health (alive and able to write), /ready (serves clients), /metrics (Prometheus).
#pragma once

#include <memory>
#include <string>

#include "apps/server.h"
#include "http/http_server.h"

namespace weir::apps {

// On loop 0. `server` outlives it.
class HttpEndpoints {
 public:
  HttpEndpoints(runtime::Loop& loop, Server& server);
  Result<runtime::Endpoint> listen(const runtime::Endpoint& address) { return http_.listen(address); }

 private:
  void health(http::Respond respond);
  void ready(http::Respond respond);
  void metrics(http::Respond respond);

  Server& server_;
  http::HttpServer http_;
};

}  // namespace weir::apps
