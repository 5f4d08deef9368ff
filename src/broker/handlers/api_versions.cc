#include "broker/handlers/api_versions.h"

#include <algorithm>

#include "protocol/errors.h"
#include "protocol/messages/api_versions.h"

namespace weir::broker {

namespace {

using protocol::ApiVersionsRequest;
using protocol::ApiVersionsResponse;

constexpr size_t kLongestSoftwareName = 128;

bool alphanumeric(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Letters, digits, '-' and '.', beginning and ending with a letter or digit.
bool valid_software_text(std::string_view text) {
  if (text.empty() || text.size() > kLongestSoftwareName) return false;
  if (!alphanumeric(text.front()) || !alphanumeric(text.back())) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return alphanumeric(c) || c == '-' || c == '.'; });
}

protocol::ErrorCode check(const ApiVersionsRequest& request, int16_t version, const BrokerIdentity& identity) {
  if (version >= 3 && (!valid_software_text(request.client_software_name) ||
                       !valid_software_text(request.client_software_version))) {
    return protocol::ErrorCode::kInvalidRequest;
  }
  if (request.cluster_id && (*request.cluster_id != identity.cluster_id || request.node_id != identity.node_id)) {
    return protocol::ErrorCode::kRebootstrapRequired;
  }
  return protocol::ErrorCode::kNone;
}

void fill_api_keys(ApiVersionsResponse& response, const Dispatcher& dispatcher, protocol::Arena& arena) {
  const auto routes = dispatcher.routes();
  response.api_keys = arena.array<ApiVersionsResponse::ApiVersion>(routes.size());
  for (size_t i = 0; i < routes.size(); ++i) {
    response.api_keys[i] = {static_cast<int16_t>(routes[i]->key), routes[i]->advertised_min_version,
                            routes[i]->max_version};
  }
}

void fill_features(ApiVersionsResponse& response, const BrokerIdentity& identity, protocol::Arena& arena) {
  response.supported_features = arena.array<ApiVersionsResponse::SupportedFeatureKey>(identity.features.size());
  const auto finalized = static_cast<size_t>(
      std::count_if(identity.features.begin(), identity.features.end(), [](const Feature& f) { return f.finalized_version > 0; }));
  response.finalized_features = arena.array<ApiVersionsResponse::FinalizedFeatureKey>(finalized);
  response.finalized_features_epoch = identity.finalized_features_epoch;
  size_t next = 0;
  for (size_t i = 0; i < identity.features.size(); ++i) {
    const Feature& feature = identity.features[i];
    response.supported_features[i] = {feature.name, feature.min_version, feature.max_version};
    if (feature.finalized_version > 0) {
      response.finalized_features[next++] = {feature.name, feature.finalized_version, feature.finalized_version};
    }
  }
}

}  // namespace

void handle_api_versions(const BrokerIdentity& identity, const Dispatcher& dispatcher, RequestContextPtr context) {
  ApiVersionsResponse response;
  const ApiRoute& route = *dispatcher.route(ApiVersionsRequest::kApiKey);
  if (context->version() < route.min_version || context->version() > route.max_version) {
    response.error_code = static_cast<int16_t>(protocol::ErrorCode::kUnsupportedVersion);
    fill_api_keys(response, dispatcher, context->arena());
    return context->respond_as(response, 0);
  }
  ApiVersionsRequest request;
  if (!context->decode(request)) return;
  const protocol::ErrorCode error = check(request, context->version(), identity);
  response.error_code = static_cast<int16_t>(error);
  if (error == protocol::ErrorCode::kNone) {
    context->connection().client_software_name = request.client_software_name;
    context->connection().client_software_version = request.client_software_version;
    fill_api_keys(response, dispatcher, context->arena());
    fill_features(response, identity, context->arena());
  }
  context->respond(response);
}

}  // namespace weir::broker
