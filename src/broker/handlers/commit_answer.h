// The answer to a request that commits offsets, OffsetCommit or TxnOffsetCommit. It is laid out beforehand in the request's
// order. Partitions that the coordinator is asked about are filled in when it has answered.
#pragma once

#include <string>
#include <vector>

#include "broker/requests/topic_resolver.h"
#include "broker/server/request_context.h"
#include "coordination/group/group_messages.h"
#include "runtime/homebound.h"

namespace weir::broker {

template <typename Response>
struct CommitAnswer final : runtime::Homebound {
  using Topic = typename decltype(Response::topics)::value_type;
  using Partition = typename decltype(Topic::partitions)::value_type;
  using Items = std::vector<coordination::OffsetCommitRequest::Item>;

  explicit CommitAnswer(runtime::Loop& home) : Homebound(home) {}

  // Returns the partitions for the coordinator. `refused`: the error of all partitions, or none.
  template <typename Request>
  Items lay_out(const Request& request, const TopicResolver& topics, protocol::ErrorCode refused, protocol::Arena& arena) {
    Items items;
    response.topics = arena.array<Topic>(request.topics.size());
    size_t answered = 0;
    for (const auto& topic_asked : request.topics) {
      if (topic_asked.partitions.empty()) continue;  // is not answered, as in Kafka
      Topic& answer = response.topics[answered++];
      answer.name = topic_asked.name;
      answer.topic_id = topic_asked.topic_id;
      answer.partitions = arena.array<Partition>(topic_asked.partitions.size());
      const ResolvedTopic topic = refused == protocol::ErrorCode::kNone ? topics.find(topic_asked.name, topic_asked.topic_id)
                                                                        : ResolvedTopic{nullptr, refused};
      for (size_t p = 0; p < topic_asked.partitions.size(); ++p) {
        const auto& partition = topic_asked.partitions[p];
        answer.partitions[p].partition_index = partition.partition_index;
        if (const auto error = topic.error_of(partition.partition_index); error != protocol::ErrorCode::kNone) {
          answer.partitions[p].error_code = code(error);
          continue;
        }
        items.push_back({topic->name(), topic->id(), partition.partition_index, partition.committed_offset,
                         partition.committed_leader_epoch, std::string(partition.committed_metadata.value_or(""))});
        asked.push_back(&answer.partitions[p]);
      }
    }
    response.topics = response.topics.first(answered);
    return items;
  }

  void respond(const coordination::OffsetCommitResult& result) {
    for (size_t i = 0; i < asked.size(); ++i) {
      asked[i]->error_code = code(result.error != protocol::ErrorCode::kNone ? result.error : result.items[i]);
    }
    context->respond(response);
  }

  RequestContextPtr context;
  Response response;
  std::vector<Partition*> asked;  // as the items
};

}  // namespace weir::broker
