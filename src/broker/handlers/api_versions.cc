#include "broker/handlers/api_versions.h"

#include <algorithm>

#include "broker/metadata/features.h"
#include "protocol/errors.h"
#include "protocol/messages/api_versions.h"

namespace weir::broker {

namespace {

using protocol::ApiVersionsRequest;
using protocol::ApiVersionsResponse;

constexpr size_t kSoftwareTextKept = 128;  // longer ones are taken, as by Kafka, and cut

bool alphanumeric(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Letters, digits, '-' and '.', beginning and ending with a letter or digit.
bool valid_software_text(std::string_view text) {
  if (text.empty()) return false;
  if (!alphanumeric(text.front()) || !alphanumeric(text.back())) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return alphanumeric(c) || c == '-' || c == '.'; });
}

protocol::ErrorCode check(const ApiVersionsRequest& request, int16_t version, const Broker& broker, const MetadataImage& image) {
  if (version >= 3 &&
      (!valid_software_text(request.client_software_name) || !valid_software_text(request.client_software_version))) {
    return protocol::ErrorCode::kInvalidRequest;
  }
  if (version >= 5 && request.cluster_id.has_value() != (request.node_id != -1)) return protocol::ErrorCode::kInvalidRequest;
  if (request.cluster_id && (*request.cluster_id != broker.cluster_id() || request.node_id != image.self().id)) {
    return protocol::ErrorCode::kRebootstrapRequired;
  }
  return protocol::ErrorCode::kNone;
}

bool of_telemetry(protocol::ApiKey key) {
  return key == protocol::ApiKey::kGetTelemetrySubscriptions || key == protocol::ApiKey::kPushTelemetry;
}

// Without subscriptions to client metrics the telemetry APIs are not announced, as by a Kafka without a receiver of client
// metrics. Clients would ask for their subscriptions, and log that they did.
void fill_api_keys(ApiVersionsResponse& response, const Dispatcher& dispatcher, bool telemetry, protocol::Arena& arena) {
  const auto routes = dispatcher.routes();
  response.api_keys = arena.array<ApiVersionsResponse::ApiVersion>(routes.size());
  size_t count = 0;
  for (const ApiRoute* route : routes) {
    if (!telemetry && of_telemetry(route->key)) continue;
    response.api_keys[count++] = {static_cast<int16_t>(route->key), route->advertised_min_version, route->max_version};
  }
  response.api_keys = response.api_keys.first(count);
}

// Before version 4 a level of 0 could not be read.
void fill_features(ApiVersionsResponse& response, const FeaturesRecord& finalized, int16_t version, protocol::Arena& arena) {
  const auto supported = supported_features();
  response.supported_features = arena.array<ApiVersionsResponse::SupportedFeatureKey>(supported.size());
  response.finalized_features = arena.array<ApiVersionsResponse::FinalizedFeatureKey>(supported.size());
  response.finalized_features_epoch = finalized.epoch;
  size_t count = 0, known = 0;
  for (const SupportedFeature& feature : supported) {
    if (version >= 4 || feature.min_level > 0) {
      response.supported_features[known++] = {feature.name, feature.min_level, feature.max_level};
    }
    const auto level = finalized.levels.find(feature.name);
    if (level == finalized.levels.end() || level->second == 0) continue;
    response.finalized_features[count++] = {feature.name, level->second, level->second};
  }
  response.supported_features = response.supported_features.first(known);
  response.finalized_features = response.finalized_features.first(count);
}

}  // namespace

void handle_api_versions(Broker& broker, const Dispatcher& dispatcher, RequestContextPtr context) {
  ApiVersionsResponse response;
  const bool telemetry = broker.shard(context->loop().index()).image->client_metrics_count() > 0;
  const ApiRoute& route = *dispatcher.route(ApiVersionsRequest::kApiKey);
  if (context->version() < route.min_version || context->version() > route.max_version) {
    response.error_code = static_cast<int16_t>(protocol::ErrorCode::kUnsupportedVersion);
    fill_api_keys(response, dispatcher, telemetry, context->arena());
    return context->respond_as(response, 0);
  }
  std::shared_ptr<const FeaturesRecord> features;  // the response points into it
  ApiVersionsRequest request;
  if (!context->decode(request)) return;
  const protocol::ErrorCode error = check(request, context->version(), broker, *broker.shard(context->loop().index()).image);
  response.error_code = static_cast<int16_t>(error);
  if (error == protocol::ErrorCode::kNone) {
    context->connection().client_software_name = request.client_software_name.substr(0, kSoftwareTextKept);
    context->connection().client_software_version = request.client_software_version.substr(0, kSoftwareTextKept);
    fill_api_keys(response, dispatcher, telemetry, context->arena());
    features = broker.shard(context->loop().index()).image->features();
    fill_features(response, *features, context->version(), context->arena());
  }
  context->respond(response);
}

}  // namespace weir::broker
