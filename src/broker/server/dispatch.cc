#include "broker/server/dispatch.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/printable.h"
#include "broker/server/connection.h"
#include "broker/server/slow_request.h"
#include "protocol/api.h"

namespace weir::broker {

namespace {

constexpr int64_t kUnboundedWaitMs = int64_t{1} << 40;

std::string describe_api(int16_t key) {
  const protocol::Api* api = protocol::find_api(key);
  return api && !api->name.empty() ? std::string(api->name) : fmt::format("API key {}", key);
}

}  // namespace

AnswerErrors::AnswerErrors(unsigned shards)
    : cells_(std::make_unique<std::atomic<int64_t>[]>(size_t{kCodes} * shards)), shards_(shards) {}

void AnswerErrors::add(unsigned shard, int16_t code, int64_t n) {
  const int index = code - kLowest;
  if (index < 0 || index >= kCodes) return;
  std::atomic<int64_t>& cell = cells_[size_t{shard} * kCodes + static_cast<size_t>(index)];
  cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

void AnswerErrors::add(unsigned shard, const protocol::Writer& answer) {
  if (answer.successes() > 0) add(shard, 0, answer.successes());
  for (const auto& [code, count] : answer.errors()) add(shard, code, count);
}

int64_t AnswerErrors::total(int16_t code) const {
  int64_t sum = 0;
  for (unsigned shard = 0; shard < shards_; ++shard) {
    sum += cells_[size_t{shard} * kCodes + static_cast<size_t>(code - kLowest)].load(std::memory_order_relaxed);
  }
  return sum;
}

void Dispatcher::add(protocol::ApiKey key, int16_t min_version, int16_t max_version, RequestHandler handler, RequestKind kind) {
  const auto index = static_cast<size_t>(key);
  if (routes_.size() <= index) routes_.resize(index + 1);
  WEIR_CHECK(!routes_[index]);
  WEIR_CHECK(protocol::api(key).supports(min_version) && protocol::api(key).supports(max_version));
  auto route = std::make_unique<ApiRoute>();
  route->key = key;
  route->min_version = route->advertised_min_version = min_version;
  route->max_version = max_version;
  route->handler = std::move(handler);
  route->kind = kind;
  route->allowed_wait_ms = kind == RequestKind::kWaitsForOthers ? kUnboundedWaitMs : 0;
  const MetricLabels labels{{"request", std::string(protocol::api_name(key))}};
  for (int version = min_version; version <= max_version; ++version) {
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

int64_t ApiRoute::request_count() const {
  int64_t sum = 0;
  for (const Counter* version : requests) sum += version->total();
  return sum;
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
    context->close(fmt::format("{} (version {}) is not served here", describe_api(header.api_key), header.api_version));
    return;
  }
  context->api_key_ = route->key;
  const bool known = context->version_ >= route->min_version && context->version_ <= route->max_version;
  if (!known && route->key != protocol::ApiKey::kApiVersions) {
    context->close(fmt::format("{} version {} is not supported, only {} to {} (client id {})", describe_api(header.api_key),
                               header.api_version, route->min_version, route->max_version, quoted(context->client_id_)));
    return;
  }
  context->route_ = route;
  context->allowed_wait_ms_ = route->allowed_wait_ms;
  const unsigned shard = context->loop().index();
  const auto counted = std::clamp(context->version_, route->min_version, route->max_version) - route->min_version;
  route->requests[static_cast<size_t>(counted)]->add(shard);
  route->request_bytes->add(shard, static_cast<int64_t>(context->frame_.size));
  Connection& connection = *context->connection_;
  connection.begin(std::move(context));
}

}  // namespace weir::broker
