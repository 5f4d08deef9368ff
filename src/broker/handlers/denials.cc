#include "broker/handlers/denials.h"

#include <string_view>
#include <utility>

#include "broker/handlers/security_apis.h"
#include "protocol/messages/alter_client_quotas.h"
#include "protocol/messages/alter_partition_reassignments.h"
#include "protocol/messages/alter_replica_log_dirs.h"
#include "protocol/messages/create_acls.h"
#include "protocol/messages/delete_acls.h"
#include "protocol/messages/describe_acls.h"
#include "protocol/messages/describe_client_quotas.h"
#include "protocol/messages/describe_log_dirs.h"
#include "protocol/messages/describe_quorum.h"
#include "protocol/messages/describe_user_scram_credentials.h"
#include "protocol/messages/elect_leaders.h"
#include "protocol/messages/list_config_resources.h"
#include "protocol/messages/list_partition_reassignments.h"
#include "protocol/messages/unregister_broker.h"
#include "protocol/messages/update_features.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;

std::string_view text_of(ErrorCode error) {
  return error == ErrorCode::kClusterAuthorizationFailed ? "Cluster authorization failed." : "The request is not authorized.";
}

// One error for all, with a text where the answer has a place for it.
template <typename Answer>
void set_error(Answer& answer, ErrorCode error) {
  answer.error_code = code(error);
  if constexpr (requires { answer.error_message = std::string_view(); }) answer.error_message = text_of(error);
}

template <typename Request, typename Response>
void deny_whole(RequestContextPtr context, ErrorCode error) {
  Request request;
  if (!context->decode(request)) return;
  Response response;
  set_error(response, error);
  context->respond(response);
}

}  // namespace

void deny_describe_acls(RequestContextPtr context, ErrorCode error) {
  deny_whole<protocol::DescribeAclsRequest, protocol::DescribeAclsResponse>(std::move(context), error);
}

void deny_describe_log_dirs(RequestContextPtr context, ErrorCode error) {
  deny_whole<protocol::DescribeLogDirsRequest, protocol::DescribeLogDirsResponse>(std::move(context), error);
}

void deny_describe_quorum(RequestContextPtr context, ErrorCode error) {
  deny_whole<protocol::DescribeQuorumRequest, protocol::DescribeQuorumResponse>(std::move(context), error);
}

void deny_list_config_resources(RequestContextPtr context, ErrorCode error) {
  deny_whole<protocol::ListConfigResourcesRequest, protocol::ListConfigResourcesResponse>(std::move(context), error);
}

void deny_unregister_broker(RequestContextPtr context, ErrorCode error) {
  deny_whole<protocol::UnregisterBrokerRequest, protocol::UnregisterBrokerResponse>(std::move(context), error);
}

void deny_update_features(RequestContextPtr context, ErrorCode error) {
  deny_whole<protocol::UpdateFeaturesRequest, protocol::UpdateFeaturesResponse>(std::move(context), error);
}

void deny_describe_client_quotas(RequestContextPtr context, ErrorCode error) {
  protocol::DescribeClientQuotasRequest request;
  if (!context->decode(request)) return;
  protocol::DescribeClientQuotasResponse response;
  set_error(response, error);
  response.entries = std::nullopt;
  context->respond(response);
}

void deny_create_acls(RequestContextPtr context, ErrorCode error) {
  protocol::CreateAclsRequest request;
  if (!context->decode(request)) return;
  protocol::CreateAclsResponse response;
  response.results = context->arena().array<protocol::CreateAclsResponse::AclCreationResult>(request.creations.size());
  for (auto& result : response.results) set_error(result, error);
  context->respond(response);
}

void deny_delete_acls(RequestContextPtr context, ErrorCode error) {
  protocol::DeleteAclsRequest request;
  if (!context->decode(request)) return;
  protocol::DeleteAclsResponse response;
  response.filter_results = context->arena().array<protocol::DeleteAclsResponse::DeleteAclsFilterResult>(request.filters.size());
  for (auto& result : response.filter_results) set_error(result, error);
  context->respond(response);
}

void deny_alter_client_quotas(RequestContextPtr context, ErrorCode error) {
  using Response = protocol::AlterClientQuotasResponse;
  protocol::AlterClientQuotasRequest request;
  if (!context->decode(request)) return;
  protocol::Arena& arena = context->arena();
  Response response;
  response.entries = arena.array<Response::EntryData>(request.entries.size());
  for (size_t i = 0; i < request.entries.size(); ++i) {
    const auto& asked = request.entries[i].entity;
    Response::EntryData& entry = response.entries[i];
    set_error(entry, error);
    entry.entity = arena.array<Response::EntityData>(asked.size());
    for (size_t k = 0; k < asked.size(); ++k) entry.entity[k] = {asked[k].entity_type, asked[k].entity_name};
  }
  context->respond(response);
}

void deny_alter_user_scram_credentials(RequestContextPtr context, ErrorCode error) {
  refuse_scram_alterations(std::move(context), error, text_of(error));
}

// Like Kafka, it does not name the users of the results.
void deny_describe_user_scram_credentials(RequestContextPtr context, ErrorCode error) {
  using Response = protocol::DescribeUserScramCredentialsResponse;
  protocol::DescribeUserScramCredentialsRequest request;
  if (!context->decode(request)) return;
  Response response;
  set_error(response, error);
  const size_t users = request.users ? request.users->size() : 0;
  response.results = context->arena().array<Response::DescribeUserScramCredentialsResult>(users);
  for (auto& result : response.results) set_error(result, error);
  context->respond(response);
}

void deny_elect_leaders(RequestContextPtr context, ErrorCode error) {
  using Response = protocol::ElectLeadersResponse;
  protocol::ElectLeadersRequest request;
  if (!context->decode(request)) return;
  protocol::Arena& arena = context->arena();
  Response response;
  if (context->version() >= 1) response.error_code = code(error);
  if (request.topic_partitions) {
    const auto& asked = *request.topic_partitions;
    response.replica_election_results = arena.array<Response::ReplicaElectionResult>(asked.size());
    for (size_t t = 0; t < asked.size(); ++t) {
      auto& topic = response.replica_election_results[t];
      topic.topic = asked[t].topic;
      topic.partition_result = arena.array<Response::PartitionResult>(asked[t].partitions.size());
      for (size_t p = 0; p < asked[t].partitions.size(); ++p) {
        topic.partition_result[p].partition_id = asked[t].partitions[p];
        set_error(topic.partition_result[p], error);
      }
    }
  }
  context->respond(response);
}

void deny_alter_partition_reassignments(RequestContextPtr context, ErrorCode error) {
  using Response = protocol::AlterPartitionReassignmentsResponse;
  protocol::AlterPartitionReassignmentsRequest request;
  if (!context->decode(request)) return;
  protocol::Arena& arena = context->arena();
  Response response;
  set_error(response, error);
  response.responses = arena.array<Response::ReassignableTopicResponse>(request.topics.size());
  for (size_t t = 0; t < request.topics.size(); ++t) {
    const auto& asked = request.topics[t];
    response.responses[t].name = asked.name;
    response.responses[t].partitions = arena.array<Response::ReassignablePartitionResponse>(asked.partitions.size());
    for (size_t p = 0; p < asked.partitions.size(); ++p) {
      response.responses[t].partitions[p].partition_index = asked.partitions[p].partition_index;
      set_error(response.responses[t].partitions[p], error);
    }
  }
  context->respond(response);
}

void deny_list_partition_reassignments(RequestContextPtr context, ErrorCode error) {
  using Response = protocol::ListPartitionReassignmentsResponse;
  protocol::ListPartitionReassignmentsRequest request;
  if (!context->decode(request)) return;
  protocol::Arena& arena = context->arena();
  Response response;
  set_error(response, error);
  if (request.topics) {
    const auto& asked = *request.topics;
    response.topics = arena.array<Response::OngoingTopicReassignment>(asked.size());
    for (size_t t = 0; t < asked.size(); ++t) {
      response.topics[t].name = asked[t].name;
      response.topics[t].partitions = arena.array<Response::OngoingPartitionReassignment>(asked[t].partition_indexes.size());
      for (size_t p = 0; p < asked[t].partition_indexes.size(); ++p) {
        response.topics[t].partitions[p].partition_index = asked[t].partition_indexes[p];
      }
    }
  }
  context->respond(response);
}

void deny_alter_replica_log_dirs(RequestContextPtr context, ErrorCode error) {
  using Response = protocol::AlterReplicaLogDirsResponse;
  protocol::AlterReplicaLogDirsRequest request;
  if (!context->decode(request)) return;
  protocol::Arena& arena = context->arena();
  size_t topics = 0;
  for (const auto& dir : request.dirs) topics += dir.topics.size();
  Response response;
  response.results = arena.array<Response::AlterReplicaLogDirTopicResult>(topics);
  size_t t = 0;
  for (const auto& dir : request.dirs) {
    for (const auto& asked : dir.topics) {
      auto& topic = response.results[t++];
      topic.topic_name = asked.name;
      topic.partitions = arena.array<Response::AlterReplicaLogDirPartitionResult>(asked.partitions.size());
      for (size_t p = 0; p < asked.partitions.size(); ++p) {
        topic.partitions[p].partition_index = asked.partitions[p];
        set_error(topic.partitions[p], error);
      }
    }
  }
  context->respond(response);
}

}  // namespace weir::broker
