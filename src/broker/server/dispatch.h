// The table of the APIs this broker serves, and the way of a request to its handler.
//
// The wiring fills it before the shards run. Afterwards it is constant, and all shards share it. Only registered APIs are served
// and advertised. A handler is a plain function of the request context, through which it finds its shard.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/server/api_route.h"
#include "broker/server/client_quotas.h"
#include "broker/server/metrics.h"
#include "broker/server/queued_request.h"

namespace weir::broker {

class Dispatcher {
 public:
  explicit Dispatcher(MetricsRegistry& metrics) : metrics_(metrics) {}

  // Serves the row's API. Once per key.
  void add(const ApiRow& row, RequestHandler handler);
  // Without one everything is allowed. It outlives the requests.
  void set_authorizer(const security::Authorizer* authorizer) { authorizer_ = authorizer; }
  // Without one nobody is throttled. They outlive the requests.
  void set_quotas(ClientQuotas* quotas) { quotas_ = quotas; }

  std::vector<const ApiRoute*> routes() const;  // ascending by key
  const ApiRoute* route(int16_t key) const;

  // Whether a frame stays where it was received (ApiRow::carries_records).
  bool carries_records(Bytes frame) const;
  // Decodes the header and finds the row. Otherwise returns why the connection is to be closed: the key or version is unknown, or
  // the client is not authenticated yet.
  std::optional<std::string> find_route(QueuedRequest& request) const;
  // Calls the handler, or denies the request if it lacks a required right. After find_route() found the row, and again when there
  // is memory for it.
  void handle(RequestContextPtr context) const;

 private:
  MetricsRegistry& metrics_;
  const security::Authorizer* authorizer_ = nullptr;
  ClientQuotas* quotas_ = nullptr;
  std::vector<std::unique_ptr<ApiRoute>> routes_;  // index: API key
};

}  // namespace weir::broker
