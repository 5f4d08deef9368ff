#include "broker/handlers/describe_cluster.h"

#include "broker/requests/node_answers.h"
#include "protocol/messages/describe_cluster.h"

namespace weir::broker {

using protocol::ErrorCode;

void handle_describe_cluster(Broker& broker, RequestContextPtr context) {
  constexpr int8_t kBrokers = 1, kControllers = 2;
  protocol::DescribeClusterRequest request;
  if (!context->decode(request)) return;
  protocol::DescribeClusterResponse response;
  if (context->version() >= 1 && request.endpoint_type != kBrokers) {
    const bool known = request.endpoint_type == kControllers;
    response.error_code = code(known ? ErrorCode::kMismatchedEndpointType : ErrorCode::kUnsupportedEndpointType);
    response.error_message =
        known ? "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
              : "Unsupported endpoint type";
    return context->respond(response);
  }
  const MetadataImagePtr image = broker.shard(context->loop().index()).image;
  const std::vector<NodeAddress> nodes = addresses(*image, context->connection());
  response.cluster_id = broker.cluster_id();
  response.controller_id = image->controller_id();
  response.brokers = context->arena().array<protocol::DescribeClusterResponse::DescribeClusterBroker>(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    auto& node = response.brokers[i];
    node.broker_id = nodes[i].id;
    node.host = nodes[i].host;
    node.port = nodes[i].port;
    if (!nodes[i].rack.empty()) node.rack = nodes[i].rack;
  }
  if (request.include_cluster_authorized_operations) response.cluster_authorized_operations = context->authorized_operations({});
  context->respond(response);
}

}  // namespace weir::broker
