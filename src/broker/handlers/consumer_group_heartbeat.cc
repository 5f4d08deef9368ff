#include "protocol/messages/consumer_group_heartbeat.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/admin/refusal.h"
#include "broker/handlers/consumer_group_handlers.h"
#include "broker/handlers/group_handlers.h"
#include "broker/requests/topic_resolver.h"

namespace weir::broker {
namespace {

using coordination::Assignment;
using coordination::ConsumerHeartbeatRequest;
using coordination::ConsumerHeartbeatResult;
using protocol::ConsumerGroupHeartbeatResponse;
using protocol::ErrorCode;

// Member epochs with a meaning of their own.
constexpr int32_t kJoins = 0, kLeaves = -1, kLeavesForNow = -2;
constexpr int16_t kClientMakesMemberId = 1;  // from this version on

void respond(RequestContext& context, const ConsumerHeartbeatResult& result) {
  ConsumerGroupHeartbeatResponse response;
  response.error_code = code(result.error);
  response.error_message = result.error_message;
  if (result.error != ErrorCode::kNone) return context.respond(response);
  response.member_id = result.member_id;
  response.member_epoch = result.member_epoch;
  response.heartbeat_interval_ms = result.heartbeat_interval_ms;
  ConsumerGroupHeartbeatResponse::Assignment assignment;
  if (result.assignment) {
    using Topic = ConsumerGroupHeartbeatResponse::TopicPartitions;
    assignment.topic_partitions = context.arena().array<Topic>(result.assignment->size());
    for (size_t i = 0; i < result.assignment->size(); ++i) {
      const coordination::TopicPartitions& topic = (*result.assignment)[i];
      assignment.topic_partitions[i].topic_id = topic.topic_id;
      assignment.topic_partitions[i].partitions = context.arena().array<int32_t>(topic.partitions.size());
      std::copy(topic.partitions.begin(), topic.partitions.end(), assignment.topic_partitions[i].partitions.begin());
    }
    response.assignment = &assignment;
  }
  context.respond(response);
}

void refuse(RequestContext& context, ErrorCode error, std::optional<std::string> message = {}) {
  ConsumerHeartbeatResult refused;
  refused.error = error;
  refused.error_message = std::move(message);
  respond(context, refused);
}

// As Kafka has it: nothing but spaces and control characters.
bool is_blank(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) <= ' '; });
}

// The request is wrong whatever the group. The checks are in Kafka's order.
std::optional<std::string> fault_of(const protocol::ConsumerGroupHeartbeatRequest& request, int16_t version) {
  const bool needs_member_id =
      version >= kClientMakesMemberId || request.member_epoch > kJoins || request.member_epoch == kLeaves;
  if (needs_member_id && is_blank(request.member_id)) return "MemberId can't be empty.";
  if (is_blank(request.group_id)) return "GroupId can't be empty.";
  if (request.instance_id && is_blank(*request.instance_id)) return "InstanceId can't be empty.";
  if (request.rack_id && is_blank(*request.rack_id)) return "RackId can't be empty.";
  if (request.member_epoch == kJoins) {
    if (request.rebalance_timeout_ms == -1) return "RebalanceTimeoutMs must be provided in first request.";
    if (!request.topic_partitions || !request.topic_partitions->empty()) {
      return "TopicPartitions must be empty when (re-)joining.";
    }
    if (!request.subscribed_topic_names && !request.subscribed_topic_regex) {
      return "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.";
    }
  }
  if (request.member_epoch == kLeavesForNow && !request.instance_id) return "InstanceId can't be null.";
  if (request.member_epoch < kLeavesForNow) return "MemberEpoch is invalid.";
  return std::nullopt;
}

std::optional<Refusal> refusal_of(const protocol::ConsumerGroupHeartbeatRequest& request, int16_t version,
                                  const std::vector<std::string>& assignors) {
  if (auto fault = fault_of(request, version)) return Refusal{ErrorCode::kInvalidRequest, std::move(*fault)};
  if (request.server_assignor && std::find(assignors.begin(), assignors.end(), *request.server_assignor) == assignors.end()) {
    return Refusal{ErrorCode::kUnsupportedAssignor, fmt::format("ServerAssignor {} is not supported. Supported assignors: {}.",
                                                                *request.server_assignor, fmt::join(assignors, ", "))};
  }
  return std::nullopt;
}

bool may_describe_all(const RequestContext& context, const MetadataImage& image, const std::vector<std::string>& names) {
  const TopicResolver topics(context, image);
  return std::all_of(names.begin(), names.end(), [&](const std::string& name) { return topics.may(name); });
}

// A client may name topics and partitions twice, and topics without partitions.
Assignment ordered(std::span<const protocol::ConsumerGroupHeartbeatRequest::TopicPartitions> named) {
  std::map<Uuid, std::vector<int32_t>> topics;
  for (const auto& topic : named) {
    if (topic.partitions.empty()) continue;
    std::vector<int32_t>& partitions = topics[topic.topic_id];
    partitions.insert(partitions.end(), topic.partitions.begin(), topic.partitions.end());
  }
  Assignment assignment;
  for (auto& [id, partitions] : topics) {
    std::sort(partitions.begin(), partitions.end());
    partitions.erase(std::unique(partitions.begin(), partitions.end()), partitions.end());
    assignment.push_back({id, std::move(partitions)});
  }
  return assignment;
}

ConsumerHeartbeatRequest owned_request(RequestContext& context, const protocol::ConsumerGroupHeartbeatRequest& request) {
  ConsumerHeartbeatRequest beat;
  beat.group_id = request.group_id;
  beat.member_id = request.member_id;
  beat.member_epoch = request.member_epoch;
  beat.instance_id = owned(request.instance_id);
  beat.rack_id = owned(request.rack_id);
  beat.rebalance_timeout_ms = request.rebalance_timeout_ms;
  if (request.subscribed_topic_names) {
    beat.subscribed_topics.emplace(request.subscribed_topic_names->begin(), request.subscribed_topic_names->end());
  }
  beat.subscribed_regex = owned(request.subscribed_topic_regex);
  beat.server_assignor = owned(request.server_assignor);
  if (request.topic_partitions) beat.owned = ordered(*request.topic_partitions);
  beat.client_id = context.client_id();
  beat.client_host = "/" + context.connection().peer.host;
  if (request.subscribed_topic_regex) {
    beat.may_describe = context.lasting_right(security::AclOperation::kDescribe, security::ResourceType::kTopic);
  }
  return beat;
}

}  // namespace

void handle_consumer_group_heartbeat(GroupCoordinators& groups, RequestContextPtr context) {
  protocol::ConsumerGroupHeartbeatRequest request;
  if (!context->decode(request)) return;
  const unsigned home = context->loop().index();
  if (!groups.serve_consumer_protocol(home)) return refuse(*context, ErrorCode::kUnsupportedVersion);
  if (const ErrorCode denied = GroupResolver(*context).error_of(request.group_id); denied != ErrorCode::kNone) {
    return refuse(*context, denied);
  }
  ConsumerHeartbeatRequest beat = owned_request(*context, request);
  const MetadataImagePtr image = groups.broker().shard(home).image;
  if (beat.subscribed_topics && !may_describe_all(*context, *image, *beat.subscribed_topics)) {
    return refuse(*context, ErrorCode::kTopicAuthorizationFailed);
  }
  if (auto refusal = refusal_of(request, context->version(), groups.config().consumer.assignors)) {
    return refuse(*context, refusal->error, std::move(refusal->message));
  }
  const std::string group_id = beat.group_id;
  groups.call<ConsumerHeartbeatResult>(
      home, group_id,
      reply_on<ConsumerHeartbeatResult>(
          groups, home, [context = std::move(context)](const ConsumerHeartbeatResult& result) { respond(*context, result); }),
      [beat = std::move(beat)](auto& state, auto reply, auto now, auto& effects) mutable {
        state.consumer_heartbeat(std::move(beat), std::move(reply), now, effects);
      });
}

}  // namespace weir::broker
