#include "broker/handlers/describe_topic_partitions.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/requests/node_answers.h"
#include "broker/requests/topic_resolver.h"
#include "protocol/messages/describe_topic_partitions.h"

namespace weir::broker {
namespace {

using protocol::DescribeTopicPartitionsRequest;
using protocol::DescribeTopicPartitionsResponse;
using protocol::ErrorCode;
using ResponseTopic = DescribeTopicPartitionsResponse::DescribeTopicPartitionsResponseTopic;
using ResponsePartition = DescribeTopicPartitionsResponse::DescribeTopicPartitionsResponsePartition;

// A cursor that the request contradicts is answered with INVALID_REQUEST for each topic.
bool cursor_valid(const DescribeTopicPartitionsRequest& request) {
  if (request.cursor == nullptr) return true;
  if (request.cursor->partition_index < 0) return false;
  return request.topics.empty() || std::any_of(request.topics.begin(), request.topics.end(),
                                               [&](const auto& topic) { return topic.name == request.cursor->topic_name; });
}

// The names to describe from the cursor on, sorted. Without names in the request: all that the client may see.
std::vector<std::string_view> names_of(const DescribeTopicPartitionsRequest& request, const MetadataImage& image,
                                       const TopicResolver& topics) {
  std::vector<std::string_view> names;
  if (request.topics.empty()) {
    image.for_each([&](const TopicPtr& topic) {
      if (topics.may(topic->name())) names.push_back(topic->name());
    });
  } else
    for (const auto& topic : request.topics) names.push_back(topic.name);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (request.cursor != nullptr) {
    names.erase(names.begin(), std::lower_bound(names.begin(), names.end(), request.cursor->topic_name));
  }
  return names;
}

void fill(ResponseTopic& answer, const Topic& topic, int32_t first, int32_t count, LeadershipAnswers& leadership,
          protocol::Arena& arena) {
  answer.topic_id = topic.id();
  answer.is_internal = topic.internal;
  answer.partitions = arena.array<ResponsePartition>(static_cast<size_t>(count));
  for (int32_t i = 0; i < count; ++i) {
    ResponsePartition& partition = answer.partitions[static_cast<size_t>(i)];
    leadership.fill(partition, topic, first + i);
    partition.eligible_leader_replicas = std::span<int32_t>();
    partition.last_known_elr = std::span<int32_t>();
  }
}

}  // namespace

void handle_describe_topic_partitions(Broker& broker, RequestContextPtr context) {
  DescribeTopicPartitionsRequest request;
  if (!context->decode(request)) return;
  protocol::Arena& arena = context->arena();
  DescribeTopicPartitionsResponse response;
  if (!cursor_valid(request)) {
    response.topics = arena.array<ResponseTopic>(request.topics.size());
    for (size_t i = 0; i < request.topics.size(); ++i) {
      response.topics[i].name = request.topics[i].name;
      response.topics[i].error_code = code(ErrorCode::kInvalidRequest);
    }
    return context->respond(response);
  }
  const MetadataImagePtr image = broker.shard(context->loop().index()).image;
  constexpr uint64_t kTopicBytes = 512, kPartitionBytes = 256;
  const auto limit = static_cast<uint64_t>(std::max(broker.settings().max_request_partition_size_limit, 1));
  const uint64_t bytes = kPartitionBytes * limit + (request.topics.empty() ? kTopicBytes * image->topic_count() : 0);
  if (!context->reserve(std::min(bytes, context->most_answer_bytes()))) return;
  const TopicResolver topics(*context, *image, {.invalid_names = InvalidNames::kTold});
  const auto names = names_of(request, *image, topics);
  LeadershipAnswers leadership(*image, broker.offline(), arena);
  int32_t left = std::max(1, std::min(broker.settings().max_request_partition_size_limit, request.response_partition_limit));
  auto* next = arena.create<DescribeTopicPartitionsResponse::Cursor>();

  response.topics = arena.array<ResponseTopic>(names.size());
  size_t count = 0;
  for (const std::string_view name : names) {
    if (left == 0) {
      next->topic_name = name;
      response.next_cursor = next;
      break;
    }
    ResponseTopic& answer = response.topics[count++];
    answer.name = name;
    const ResolvedTopic topic = topics.find(name);
    if (topic.error != ErrorCode::kTopicAuthorizationFailed) {
      answer.topic_authorized_operations = context->authorized_operations({security::ResourceType::kTopic, name});
    }
    if (!topic) {
      answer.error_code = code(topic.error);
      continue;
    }
    const bool at_cursor = request.cursor != nullptr && request.cursor->topic_name == name;
    const int32_t first = at_cursor ? std::min(request.cursor->partition_index, topic->partition_count()) : 0;
    const int32_t partitions = std::min(topic->partition_count() - first, left);
    fill(answer, *topic, first, partitions, leadership, arena);
    left -= partitions;
    if (first + partitions < topic->partition_count()) {
      next->topic_name = name;
      next->partition_index = first + partitions;
      response.next_cursor = next;
      break;
    }
  }
  response.topics = response.topics.first(count);
  context->respond(response);
}

}  // namespace weir::broker
