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
  response.cluster_id = broker.cluster_id();
  response.controller_id = image->controller_id();
  using Node = protocol::DescribeClusterResponse::DescribeClusterBroker;
  response.brokers = nodes_of<Node>(*image, context->connection(), context->arena());
  if (request.include_cluster_authorized_operations) response.cluster_authorized_operations = context->authorized_operations({});
  context->respond(response);
}

}  // namespace weir::broker
