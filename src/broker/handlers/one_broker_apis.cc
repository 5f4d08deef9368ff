#include "broker/handlers/one_broker_apis.h"

#include <fmt/core.h>

#include <string>

#include "broker/admin/refusal.h"
#include "broker/admin/replica_assignment.h"
#include "broker/requests/topic_resolver.h"
#include "protocol/errors.h"
#include "protocol/messages/alter_partition_reassignments.h"
#include "protocol/messages/describe_quorum.h"
#include "protocol/messages/elect_leaders.h"
#include "protocol/messages/list_partition_reassignments.h"
#include "protocol/messages/unregister_broker.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;

MetadataImagePtr image_of(Broker& broker, RequestContext& context) { return broker.shard(context.loop().index()).image; }

// Bounds a text that is repeated for each partition. No topic has a longer name, but a request may.
std::string_view shown(std::string_view name) { return name.substr(0, 249); }
// The most that such texts take, in structures and bytes.
template <typename Topics>
uint64_t texts_bytes(const Topics& topics) {
  uint64_t bytes = 0;
  for (const auto& topic : topics) {
    std::string_view name;
    if constexpr (requires { topic.topic; }) name = topic.topic;
    else name = topic.name;
    bytes += topic.partitions.size() * 3 * (64 + shown(name).size());
  }
  return bytes;
}

// The one replica leads already.
Refusal elect(const TopicResolver& topics, std::string_view name, int32_t partition) {
  const ResolvedTopic topic = topics.find(name);
  if (!topic) return {topic.error, fmt::format("No such topic as {}", shown(name))};
  if (const ErrorCode error = topic.error_of(partition); error != ErrorCode::kNone) {
    return {error, fmt::format("No such partition as {}-{}", name, partition)};
  }
  return {ErrorCode::kElectionNotNeeded, "Leader election not needed for topic partition."};
}

using ReassignablePartition = protocol::AlterPartitionReassignmentsRequest::ReassignablePartition;
Refusal reassign(const TopicResolver& topics, const MetadataImage& image, std::string_view name,
                 const ReassignablePartition& partition) {
  const ResolvedTopic topic = topics.find(name);
  if (!topic) return {topic.error, fmt::format("Unable to find a topic named {}.", shown(name))};
  if (const ErrorCode error = topic.error_of(partition.partition_index); error != ErrorCode::kNone) {
    return {error, fmt::format("Unable to find partition {}:{}.", name, partition.partition_index)};
  }
  if (!partition.replicas) return {ErrorCode::kNoReassignmentInProgress, "No partition reassignment is in progress."};
  if (auto refusal = check_assignment(*partition.replicas, image)) return *refusal;
  return {ErrorCode::kNone, {}};
}

}  // namespace

void handle_elect_leaders(Broker& broker, RequestContextPtr context) {
  using Response = protocol::ElectLeadersResponse;
  constexpr int8_t kUnclean = 1;
  protocol::ElectLeadersRequest request;
  if (!context->decode(request)) return;
  protocol::Arena& arena = context->arena();
  const MetadataImagePtr image = image_of(broker, *context);
  const TopicResolver topics(*context, *image);
  Response response;
  const bool known_type = request.election_type >= 0 && request.election_type <= kUnclean;
  if (!known_type) response.error_code = code(ErrorCode::kInvalidRequest);
  if (request.topic_partitions) {
    const auto& asked = *request.topic_partitions;
    if (!context->reserve(texts_bytes(asked))) return;
    response.replica_election_results = arena.array<Response::ReplicaElectionResult>(asked.size());
    for (size_t t = 0; t < asked.size(); ++t) {
      auto& topic = response.replica_election_results[t];
      topic.topic = asked[t].topic;
      topic.partition_result = arena.array<Response::PartitionResult>(asked[t].partitions.size());
      for (size_t p = 0; p < asked[t].partitions.size(); ++p) {
        if (!known_type) {
          topic.partition_result[p] = {asked[t].partitions[p], response.error_code, std::nullopt};
          continue;
        }
        const Refusal answer = elect(topics, asked[t].topic, asked[t].partitions[p]);
        topic.partition_result[p] = {asked[t].partitions[p], code(answer.error), arena.copy(answer.message)};
      }
    }
  }
  // A request for all partitions: none needed an election, and such partitions are left out.
  context->respond(response);
}

void handle_alter_partition_reassignments(Broker& broker, RequestContextPtr context) {
  using Response = protocol::AlterPartitionReassignmentsResponse;
  protocol::AlterPartitionReassignmentsRequest request;
  if (!context->decode(request) || !context->reserve(texts_bytes(request.topics))) return;
  protocol::Arena& arena = context->arena();
  const MetadataImagePtr image = image_of(broker, *context);
  const TopicResolver topics(*context, *image);
  Response response;
  response.error_message = std::nullopt;
  response.allow_replication_factor_change = request.allow_replication_factor_change;
  response.responses = arena.array<Response::ReassignableTopicResponse>(request.topics.size());
  for (size_t t = 0; t < request.topics.size(); ++t) {
    const auto& asked = request.topics[t];
    response.responses[t].name = asked.name;
    response.responses[t].partitions = arena.array<Response::ReassignablePartitionResponse>(asked.partitions.size());
    for (size_t p = 0; p < asked.partitions.size(); ++p) {
      const Refusal answer = reassign(topics, *image, asked.name, asked.partitions[p]);
      auto& result = response.responses[t].partitions[p];
      result.partition_index = asked.partitions[p].partition_index;
      result.error_code = code(answer.error);
      result.error_message = std::nullopt;
      if (!answer.message.empty()) result.error_message = arena.copy(answer.message);
    }
  }
  context->respond(response);
}

void handle_list_partition_reassignments(Broker&, RequestContextPtr context) {
  protocol::ListPartitionReassignmentsRequest request;
  if (!context->decode(request)) return;
  protocol::ListPartitionReassignmentsResponse response;
  response.error_message = std::nullopt;
  context->respond(response);
}

void handle_describe_quorum(Broker& broker, RequestContextPtr context) {
  using Response = protocol::DescribeQuorumResponse;
  protocol::DescribeQuorumRequest request;
  if (!context->decode(request)) return;
  protocol::Arena& arena = context->arena();
  const MetadataImagePtr image = image_of(broker, *context);
  const int32_t node = image->controller_id();
  const int64_t now_ms = context->loop().clock().wall_ms();
  const ConnectionInfo& connection = context->connection();
  // As Kafka: with anything else beside it, the metadata log is not described either.
  const bool of_metadata = request.topics.size() == 1 && request.topics[0].topic_name == "__cluster_metadata" &&
                           request.topics[0].partitions.size() == 1 && request.topics[0].partitions[0].partition_index == 0;
  Response response;
  response.topics = arena.array<Response::TopicData>(request.topics.size());
  for (size_t t = 0; t < request.topics.size(); ++t) {
    const auto& asked = request.topics[t];
    response.topics[t].topic_name = asked.topic_name;
    response.topics[t].partitions = arena.array<Response::PartitionData>(asked.partitions.size());
    for (size_t p = 0; p < asked.partitions.size(); ++p) {
      Response::PartitionData& partition = response.topics[t].partitions[p];
      partition.partition_index = asked.partitions[p].partition_index;
      if (!of_metadata) {
        partition.error_code = code(ErrorCode::kUnknownTopicOrPartition);
        partition.error_message = "This server does not host this topic-partition.";
        continue;
      }
      partition.leader_id = node;
      partition.leader_epoch = image->broker_epoch();
      partition.high_watermark = image->changes();
      partition.current_voters = arena.array<Response::ReplicaState>(1);
      partition.current_voters[0].replica_id = node;
      partition.current_voters[0].log_end_offset = image->changes();
      partition.current_voters[0].last_fetch_timestamp = now_ms;
      partition.current_voters[0].last_caught_up_timestamp = now_ms;
    }
  }
  if (context->version() >= 2 && of_metadata) {
    response.nodes = arena.array<Response::Node>(1);
    response.nodes[0].node_id = image->self().id;
    response.nodes[0].listeners = arena.array<Response::Listener>(1);
    response.nodes[0].listeners[0] = {connection.listener->name, connection.advertised().host, connection.advertised().port};
  }
  context->respond(response);
}

void handle_unregister_broker(Broker& broker, RequestContextPtr context) {
  protocol::UnregisterBrokerRequest request;
  if (!context->decode(request)) return;
  protocol::UnregisterBrokerResponse response;
  if (request.broker_id == image_of(broker, *context)->self().id) {
    response.error_code = code(ErrorCode::kInvalidRequest);
    response.error_message = context->arena().copy(
        fmt::format("Broker ID {} is this broker, the only one of its cluster. Stop it instead.", request.broker_id));
  } else {
    response.error_code = code(ErrorCode::kBrokerIdNotRegistered);
    response.error_message = context->arena().copy(fmt::format("Broker ID {} is not currently registered", request.broker_id));
  }
  context->respond(response);
}

}  // namespace weir::broker
