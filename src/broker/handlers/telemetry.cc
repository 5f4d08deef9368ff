#include "broker/handlers/telemetry.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "broker/telemetry/client_telemetry.h"
#include "protocol/messages/get_telemetry_subscriptions.h"
#include "protocol/messages/push_telemetry.h"
#include "runtime/homebound.h"

namespace weir::broker {
namespace {

// Compressions a client may use, in the order Kafka prefers them: zstd, lz4, gzip, snappy.
constexpr int8_t kCompressions[] = {4, 3, 1, 2};

// telemetry.max.bytes bounds the bytes of the network. A few of them may decompress to many.
constexpr size_t kDecompressedBytesMax = 1 << 20;

TelemetryClient client_of(RequestContext& context, const Uuid& instance_id) {
  const ConnectionInfo& connection = context.connection();
  return {instance_id,          context.client_id(), connection.client_software_name, connection.client_software_version,
          connection.peer.host, connection.peer.port};
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

namespace {

// A push that was accepted, on its way through a pool thread and back.
struct PushWork final : runtime::Homebound {
  explicit PushWork(runtime::Loop& home) : Homebound(home) {}
  RequestContextPtr context;
  protocol::PushTelemetryRequest request;
  DecodedPush decoded;
};

void respond(RequestContext& context, protocol::ErrorCode error) {
  protocol::PushTelemetryResponse response;
  response.error_code = code(error);
  context.respond(response);
}

}  // namespace

void handle_push_telemetry(Broker& broker, RequestContextPtr context) {
  auto work = runtime::make_homebound<PushWork>(context->loop());
  work->context = std::move(context);
  RequestContext& of = *work->context;
  const protocol::PushTelemetryRequest& request = work->request;
  if (!of.decode(work->request)) return;
  const unsigned shard = of.loop().index();
  ClientTelemetry::Push push;
  push.subscription_id = request.subscription_id;
  push.terminating = request.terminating;
  push.compression = request.compression_type;
  push.bytes = request.metrics.size();
  const auto bytes_max = static_cast<size_t>(broker.config().integer("telemetry.max.bytes"));
  const auto error =
      broker.telemetry(shard).push(client_of(of, request.client_instance_id), push, bytes_max, *broker.shard(shard).image);
  if (error != protocol::ErrorCode::kNone) return respond(of, error);
  // The bytes stay where they are until the request is answered.
  broker.runtime().pool->submit(
      [work, bytes_max] {
        const protocol::PushTelemetryRequest& pushed = work->request;
        work->decoded = decode_push(pushed.compression_type, pushed.metrics, std::max(bytes_max, kDecompressedBytesMax));
      },
      of.loop(),
      [&broker, work, shard] {
        const RequestContextPtr answered = std::move(work->context);
        const protocol::PushTelemetryRequest& pushed = work->request;
        const bool taken = broker.telemetry(shard).take(client_of(*answered, pushed.client_instance_id), std::move(work->decoded),
                                                        pushed.terminating);
        respond(*answered, taken ? protocol::ErrorCode::kNone : protocol::ErrorCode::kInvalidRecord);
      });
}

}  // namespace weir::broker
