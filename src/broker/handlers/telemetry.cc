#include "broker/handlers/telemetry.h"

#include <algorithm>

#include "broker/handlers/client_telemetry.h"
#include "protocol/messages/get_telemetry_subscriptions.h"
#include "protocol/messages/push_telemetry.h"

namespace weir::broker {
namespace {

// Compressions a client may use, in the order Kafka prefers them: zstd, lz4, gzip, snappy.
constexpr int8_t kCompressions[] = {4, 3, 1, 2};

TelemetryClient client_of(RequestContext& context, const Uuid& instance_id) {
  const ConnectionFacts& connection = context.connection();
  return {instance_id,
          context.client_id(),
          connection.client_software_name,
          connection.client_software_version,
          connection.peer.host,
          connection.peer.port};
}

}  // namespace

void handle_get_telemetry_subscriptions(Broker& broker, RequestContextPtr context) {
  protocol::GetTelemetrySubscriptionsRequest request;
  if (!context->decode(request)) return;
  const unsigned shard = context->loop().index();
  ClientTelemetry& telemetry = broker.telemetry(shard);
  const Uuid id = request.client_instance_id.is_zero() ? telemetry.new_instance_id() : request.client_instance_id;
  const auto answer = telemetry.subscription(client_of(*context, id), *broker.shard(shard).image);
  protocol::GetTelemetrySubscriptionsResponse response;
  response.error_code = code(answer.error);
  if (answer.subscription) {
    protocol::Arena& arena = context->arena();
    response.client_instance_id = id;
    response.subscription_id = answer.subscription->id;
    response.push_interval_ms = answer.subscription->push_interval_ms;
    response.telemetry_max_bytes = static_cast<int32_t>(broker.config().integer("telemetry.max.bytes"));
    response.delta_temporality = true;
    response.accepted_compression_types = arena.array<int8_t>(std::size(kCompressions));
    std::copy(std::begin(kCompressions), std::end(kCompressions), response.accepted_compression_types.begin());
    response.requested_metrics = arena.array<std::string_view>(answer.subscription->metrics.size());
    std::copy(answer.subscription->metrics.begin(), answer.subscription->metrics.end(), response.requested_metrics.begin());
  }
  context->respond(response);
}

void handle_push_telemetry(Broker& broker, RequestContextPtr context) {
  protocol::PushTelemetryRequest request;
  if (!context->decode(request)) return;
  const unsigned shard = context->loop().index();
  ClientTelemetry::Push push;
  push.subscription_id = request.subscription_id;
  push.terminating = request.terminating;
  push.compression = request.compression_type;
  push.bytes = request.metrics.size();
  protocol::PushTelemetryResponse response;
  response.error_code = code(broker.telemetry(shard).push(client_of(*context, request.client_instance_id), push,
                                                          static_cast<size_t>(broker.config().integer("telemetry.max.bytes")),
                                                          *broker.shard(shard).image));
  context->respond(response);
}

}  // namespace weir::broker
