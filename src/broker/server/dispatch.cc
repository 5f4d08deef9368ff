#include "broker/server/dispatch.h"

#include <fmt/format.h>

#include "base/check.h"
#include "protocol/api.h"

namespace weir::broker {

namespace {

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 64)) out += c >= 0x20 && c < 0x7f ? c : '?';
  return out;
}

std::string describe_api(int16_t key) {
  const protocol::Api* api = protocol::find_api(key);
  return api && !api->name.empty() ? std::string(api->name) : fmt::format("API key {}", key);
}

}  // namespace

void Dispatcher::add(protocol::ApiKey key, int16_t min_version, int16_t max_version, RequestHandler handler) {
  const auto index = static_cast<size_t>(key);
  if (routes_.size() <= index) routes_.resize(index + 1);
  WEIR_CHECK(!routes_[index]);
  WEIR_CHECK(protocol::api(key).supports(min_version) && protocol::api(key).supports(max_version));
  auto route = std::make_unique<ApiRoute>();
  route->key = key;
  route->min_version = route->advertised_min_version = min_version;
  route->max_version = max_version;
  route->handler = std::move(handler);
  const MetricLabels labels{{"request", std::string(protocol::api_name(key))}};
  route->requests = &metrics_.counter("kafka_network_requestmetrics_requests_total", "Requests received.", labels);
  route->request_bytes =
      &metrics_.counter("kafka_network_requestmetrics_requestbytes_total", "Bytes of requests received.", labels);
  route->response_bytes =
      &metrics_.counter("kafka_network_requestmetrics_responsebytes_total", "Bytes of responses sent.", labels);
  route->total_time = &metrics_.histogram("kafka_network_requestmetrics_totaltime_seconds",
                                          "Time from a request received to its response sent.", labels);
  routes_[index] = std::move(route);
}

void Dispatcher::advertise_from(protocol::ApiKey key, int16_t min_version) {
  WEIR_CHECK(route(static_cast<int16_t>(key)) != nullptr);
  routes_[static_cast<size_t>(key)]->advertised_min_version = min_version;
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

void Dispatcher::dispatch(RequestContextPtr context) const {
  protocol::Reader reader(context->frame_.bytes(), context->arena_);
  protocol::RequestHeader header;
  if (!protocol::decode_request_header(reader, header)) {
    context->close(fmt::format("malformed request header: {}", reader.ok() ? "unknown" : reader.error()));
    return;
  }
  context->version_ = header.api_version;
  context->correlation_id_ = header.correlation_id;
  context->client_id_ = header.client_id.value_or(std::string_view());
  context->body_ = reader.remaining();
  const ApiRoute* const route = this->route(header.api_key);
  if (!route) {
    context->close(fmt::format("{} (version {}) is not served here", describe_api(header.api_key),
                               header.api_version));
    return;
  }
  context->api_key_ = route->key;
  const bool known = context->version_ >= route->min_version && context->version_ <= route->max_version;
  if (!known && route->key != protocol::ApiKey::kApiVersions) {
    context->close(fmt::format("{} version {} is not supported, only {} to {} (client id '{}')",
                               describe_api(header.api_key), header.api_version, route->min_version,
                               route->max_version, printable(context->client_id_)));
    return;
  }
  context->route_ = route;
  const unsigned shard = context->loop().index();
  route->requests->add(shard);
  route->request_bytes->add(shard, static_cast<int64_t>(context->frame_.size));
  route->handler(std::move(context));
}

}  // namespace weir::broker
