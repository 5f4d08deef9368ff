// A whole broker on an injected Runtime: production gives it the machine, simulation and tests give it what they like.
//
// Lifecycle: start() before the loops run (it blocks: recovery); let the loops run; stop() on any loop or, in
// simulation, between events; when `done` was called the loops may be stopped, and once they do not run any more the
// Server is destroyed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/function.h"
#include "base/result.h"
#include "broker/handlers/api_versions.h"
#include "broker/server/frontend.h"
#include "runtime/runtime.h"

namespace weir::apps {

struct ServerOptions {
  std::vector<broker::ListenerInfo> listeners;
  uint64_t max_memory_bytes = 1ull << 30;
  int64_t max_connections = INT32_MAX;
  int64_t max_connections_per_ip = INT32_MAX;
  broker::FrontendOptions frontend;
};

class Server {
 public:
  static Result<std::unique_ptr<Server>> start(runtime::Runtime& runtime, ServerOptions options);
  ~Server();

  // With real ports.
  const std::vector<broker::ListenerInfo>& listeners() const { return options_.listeners; }

  void stop(Function<void()> done);

 private:
  Server(runtime::Runtime& runtime, ServerOptions options);
  void register_handlers();
  Result<void> listen();

  runtime::Runtime& runtime_;
  ServerOptions options_;
  broker::BrokerIdentity identity_;
  broker::MetricsRegistry metrics_;
  broker::MemoryBudget budget_;
  broker::ConnectionLimits limits_;
  broker::FrontendMetrics frontend_metrics_;
  broker::Dispatcher dispatcher_;
  std::vector<std::unique_ptr<broker::Frontend>> frontends_;  // one per loop
};

}  // namespace weir::apps
