#include "broker/handlers/find_coordinator.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "broker/coordinators/group_coordinators.h"
#include "broker/coordinators/transaction_coordinators.h"
#include "broker/requests/group_resolver.h"
#include "broker/requests/node_answers.h"
#include "protocol/messages/find_coordinator.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;

constexpr int8_t kGroup = 0, kTransaction = 1, kShare = 2;

// Keys of share coordinators are group:topic id:partition.
bool share_key_valid(std::string_view key) {
  const size_t first = key.find(':');
  const size_t second = first == std::string_view::npos ? first : key.find(':', first + 1);
  if (second == std::string_view::npos || first == 0) return false;
  const std::string_view index = key.substr(second + 1);
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return TopicId::parse(key.substr(first + 1, second - first - 1)).has_value() && !index.empty() &&
         std::all_of(index.begin(), index.end(), digit);
}

bool knows_key_type(const RequestContext& context, int8_t type) {
  return type == kGroup || type == kTransaction || (type == kShare && context.version() >= 6);
}

ErrorCode check(const RequestContext& context, const GroupResolver& resolver, int8_t type, std::string_view key) {
  if (type == kGroup) return resolver.error_of(key);
  if (type == kTransaction) {
    const bool may = context.may({security::ResourceType::kTransactionalId, key});
    return may ? ErrorCode::kNone : ErrorCode::kTransactionalIdAuthorizationFailed;
  }
  if (!knows_key_type(context, type)) return ErrorCode::kInvalidRequest;
  if (!context.may({security::ResourceType::kCluster})) return ErrorCode::kClusterAuthorizationFailed;
  return share_key_valid(key) ? ErrorCode::kNone : ErrorCode::kInvalidRequest;
}

// The leader of the partition of the internal topic that has the key; nullptr if it has none now.
const BrokerRecord* coordinator_of(const MetadataImage& image, int8_t type, std::string_view key) {
  if (type == kShare) return &image.self();
  const Topic* topic = image.find(type == kGroup ? GroupCoordinators::kTopic : TransactionCoordinators::kTopic);
  if (topic == nullptr) return nullptr;
  return image.find_broker(image.owner(*topic, coordinator_hash(key) % topic->partition_count()).broker);
}

// `availability` is the error that coordinators have now, or none.
void respond(Broker& broker, RequestContext& context, const protocol::FindCoordinatorRequest& request, ErrorCode availability) {
  const MetadataImagePtr image = broker.shard(context.loop().index()).image;
  const GroupResolver resolver(context);
  // Fills the fields that a single answer shares with one of many.
  const auto fill = [&](auto& answer, std::string_view key) {
    ErrorCode error = check(context, resolver, request.key_type, key);
    if (error == ErrorCode::kNone) error = availability;
    std::optional<NodeAddress> node;
    if (error == ErrorCode::kNone) {
      const BrokerRecord* coordinator = coordinator_of(*image, request.key_type, key);
      if (coordinator) node = address_of(*image, *coordinator, context.connection());
      if (!node) error = ErrorCode::kCoordinatorNotAvailable;
    }
    answer.error_code = code(error);
    // As in Kafka: a single coordinator has the error's text, NONE included. Several have none.
    answer.error_message = context.version() < 4 ? protocol::error_name(error) : std::string_view();
    if (error == ErrorCode::kInvalidRequest && !knows_key_type(context, request.key_type)) {
      answer.error_message =
          "This most likely occurs because of a request being malformed by the client library or the message was sent to an "
          "incompatible broker. See the broker logs for more details.";
    }
    answer.node_id = node ? node->id : -1;
    answer.host = node ? node->host : std::string_view();
    answer.port = node ? node->port : -1;
  };
  protocol::FindCoordinatorResponse response;
  if (context.version() < 4) {
    fill(response, request.key);
    return context.respond(response);
  }
  response.coordinators = context.arena().array<protocol::FindCoordinatorResponse::Coordinator>(request.coordinator_keys.size());
  for (size_t i = 0; i < request.coordinator_keys.size(); ++i) {
    response.coordinators[i].key = request.coordinator_keys[i];
    fill(response.coordinators[i], request.coordinator_keys[i]);
  }
  context.respond(response);
}

}  // namespace

void handle_find_coordinator(Coordinators& coordinators, RequestContextPtr context) {
  protocol::FindCoordinatorRequest request;
  if (!context->decode(request)) return;
  const GroupResolver resolver(*context);
  const auto may = [&](std::string_view key) { return check(*context, resolver, request.key_type, key) == ErrorCode::kNone; };
  const bool any = context->version() < 4 ? may(request.key) : std::ranges::any_of(request.coordinator_keys, may);
  Broker& broker = coordinators.broker;
  if (!any || request.key_type == kShare) return respond(broker, *context, request, ErrorCode::kNone);
  CoordinatorHost* host = &coordinators.groups;
  if (request.key_type == kTransaction) host = &coordinators.transactions;
  const unsigned home = context->loop().index();
  host->create_topic(home, [&broker, request, context = std::move(context)](ErrorCode availability) {
    respond(broker, *context, request, availability);
  });
}

}  // namespace weir::broker
