#include "broker/server/dispatch.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/printable.h"
#include "protocol/api.h"

namespace weir::broker {

namespace {

constexpr int64_t kUnboundedWaitMs = int64_t{1} << 40;

std::string describe_api(int16_t key) {
  const protocol::Api* api = protocol::find_api(key);
  return api && !api->name.empty() ? std::string(api->name) : fmt::format("API key {}", key);
}

}  // namespace

security::AclOperation ApiNeeds::of(security::ResourceType type) const {
  switch (type) {
    case security::ResourceType::kTopic:
      return topic;
    case security::ResourceType::kGroup:
      return group;
    case security::ResourceType::kTransactionalId:
      return transactional_id;
    case security::ResourceType::kCluster:
      return cluster;
    default:
      return Operation::kNone;
  }
}

int64_t ApiRoute::request_count() const {
  int64_t sum = 0;
  for (const Counter* version : requests) sum += version->total();
  return sum;
}

void Dispatcher::add(const ApiRow& row, RequestHandler handler) {
  const auto index = static_cast<size_t>(row.key);
  if (routes_.size() <= index) routes_.resize(index + 1);
  WEIR_CHECK(!routes_[index]);
  WEIR_CHECK(protocol::api(row.key).supports(row.min_version) && protocol::api(row.key).supports(row.max_version));
  WEIR_CHECK((row.needs.cluster_right == ClusterRight::kRequired) == (row.deny != nullptr));
  auto route = std::make_unique<ApiRoute>();
  static_cast<ApiRow&>(*route) = row;
  if (row.advertised_min_version < 0) route->advertised_min_version = row.min_version;
  route->handler = std::move(handler);
  route->allowed_wait_ms = row.kind == RequestKind::kWaitsForOthers ? kUnboundedWaitMs : 0;
  const MetricLabels labels{{"request", std::string(protocol::api_name(row.key))}};
  for (int version = row.min_version; version <= row.max_version; ++version) {
    MetricLabels with_version = labels;
    with_version.emplace_back("version", std::to_string(version));
    route->requests.push_back(
        &metrics_.rare_counter("kafka_network_requestmetrics_requests_total", "Requests received.", with_version));
  }
  route->request_bytes = &metrics_.rare_counter("weir_request_bytes_total", "Bytes of requests received.", labels);
  route->response_bytes = &metrics_.rare_counter("weir_response_bytes_total", "Bytes of responses sent.", labels);
  route->errors = std::make_unique<AnswerErrors>(metrics_.shards());
  route->times = std::make_unique<RequestTimes>(metrics_.shards());
  route->duration = &metrics_.histogram(
      "weir_request_duration_seconds",
      "Time from a request received to its response sent, without waiting for those before it on its connection.", labels);
  routes_[index] = std::move(route);
}

std::vector<const ApiRoute*> Dispatcher::routes() const {
  std::vector<const ApiRoute*> result;
  for (const auto& route : routes_) {
    if (route) result.push_back(route.get());
  }
  return result;
}

const ApiRoute* Dispatcher::route(int16_t key) const {
  if (key < 0 || static_cast<size_t>(key) >= routes_.size()) return nullptr;
  return routes_[static_cast<size_t>(key)].get();
}

bool Dispatcher::carries_records(Bytes frame) const {
  const ApiRoute* const route = this->route(load_be<int16_t>(frame.data()));
  return route != nullptr && route->carries_records;
}

std::optional<std::string> Dispatcher::find_route(QueuedRequest& request) const {
  protocol::Reader reader(request.frame().bytes(), request.arena());
  protocol::RequestHeader header;
  if (!protocol::decode_request_header(reader, header)) {
    return fmt::format("malformed request header: {}", reader.ok() ? "unknown" : reader.error());
  }
  request.set_header(header, reader.remaining());
  const ApiRoute* const route = this->route(header.api_key);
  if (!route) return fmt::format("{} (version {}) is not served here", describe_api(header.api_key), header.api_version);
  if (!route->serves(header.api_version) && !route->any_version) {
    return fmt::format("{} version {} is not supported, only {} to {} (client id {})", describe_api(header.api_key),
                       header.api_version, route->min_version, route->max_version, quoted(request.client_id()));
  }
  if (const ConnectionInfo& info = request.connection(); !info.authenticated && !route->before_authentication) {
    return fmt::format(
        "a {} request arrived on the {} listener '{}' before its client had said who it is; set "
        "security.protocol={} in the client",
        describe_api(header.api_key), info.listener->security_protocol, info.listener->name, info.listener->security_protocol);
  }
  request.set_route(*route, authorizer_, quotas_);
  const unsigned shard = request.loop().index();
  const auto counted = std::clamp(header.api_version, route->min_version, route->max_version) - route->min_version;
  route->requests[static_cast<size_t>(counted)]->add(shard);
  route->request_bytes->add(shard, static_cast<int64_t>(request.frame().size));
  return std::nullopt;
}

void Dispatcher::handle(RequestContextPtr context) const {
  const ApiRoute& route = context->route();
  if (authorizer_ != nullptr && route.needs.cluster_right == ClusterRight::kRequired &&
      !context->authorize(route.needs.cluster, {})) {
    return route.deny(std::move(context), protocol::ErrorCode::kClusterAuthorizationFailed);
  }
  route.handler(std::move(context));
}

}  // namespace weir::broker
