#include "protocol/messages/offset_commit.h"

#include <memory>
#include <vector>

#include "broker/handlers/group_handlers.h"
#include "broker/requests/topic_resolver.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;
using protocol::OffsetCommitResponse;

// The answer is laid out beforehand. Partitions that the coordinator is asked about are filled in when it has answered.
struct OffsetCommit final : runtime::Homebound {
  explicit OffsetCommit(runtime::Loop& home) : Homebound(home) {}
  RequestContextPtr context;
  OffsetCommitResponse response;
  std::vector<OffsetCommitResponse::OffsetCommitResponsePartition*> asked;

  void fill_all(ErrorCode error) {
    for (auto* partition : asked) partition->error_code = code(error);
  }
};

}  // namespace

void handle_offset_commit(GroupCoordinators& groups, RequestContextPtr context) {
  protocol::OffsetCommitRequest request;
  if (!context->decode(request)) return;
  const unsigned home = context->loop().index();
  const MetadataImagePtr image = groups.broker().shard(home).image;
  const TopicResolver topics(*context, *image, {.ids_from = 10});
  const ErrorCode refused = GroupResolver(*context).error_of(request.group_id);
  auto all = runtime::make_homebound<OffsetCommit>(context->loop());
  protocol::Arena& arena = context->arena();
  coordination::OffsetCommitRequest commit;
  commit.group_id = request.group_id;
  commit.generation = request.generation_id_or_member_epoch;
  commit.member_id = request.member_id;
  commit.instance_id = owned(request.group_instance_id);
  commit.retention_ms = request.retention_time_ms;
  commit.group_not_found_known = context->version() >= 9;
  all->response.topics = arena.array<OffsetCommitResponse::OffsetCommitResponseTopic>(request.topics.size());
  size_t answered = 0;
  for (const auto& asked : request.topics) {
    if (asked.partitions.empty()) continue;  // is not answered, as in Kafka
    auto& answer = all->response.topics[answered++];
    answer.name = asked.name;
    answer.topic_id = asked.topic_id;
    answer.partitions = arena.array<OffsetCommitResponse::OffsetCommitResponsePartition>(asked.partitions.size());
    const ResolvedTopic topic =
        refused == ErrorCode::kNone ? topics.find(asked.name, asked.topic_id) : ResolvedTopic{nullptr, refused};
    for (size_t p = 0; p < asked.partitions.size(); ++p) {
      const auto& partition = asked.partitions[p];
      answer.partitions[p].partition_index = partition.partition_index;
      if (const ErrorCode error = topic.error_of(partition.partition_index); error != ErrorCode::kNone) {
        answer.partitions[p].error_code = code(error);
        continue;
      }
      commit.items.push_back({topic->name(), topic->id(), partition.partition_index, partition.committed_offset,
                              partition.committed_leader_epoch, std::string(partition.committed_metadata.value_or(""))});
      all->asked.push_back(&answer.partitions[p]);
    }
  }
  all->response.topics = all->response.topics.first(answered);
  if (commit.items.empty()) return context->respond(all->response);
  all->context = std::move(context);
  const std::string group_id = commit.group_id;
  groups.call<coordination::OffsetCommitResult>(
      home, group_id,
      reply_on<coordination::OffsetCommitResult>(groups, home,
                                                 [all](const coordination::OffsetCommitResult& result) {
                                                   if (result.error != ErrorCode::kNone) all->fill_all(result.error);
                                                   else
                                                     for (size_t i = 0; i < all->asked.size(); ++i)
                                                       all->asked[i]->error_code = code(result.items[i]);
                                                   all->context->respond(all->response);
                                                 }),
      [commit = std::move(commit)](auto& state, auto reply, auto now, auto& effects) {
        state.commit_offsets(commit, std::move(reply), now, effects);
      });
}

}  // namespace weir::broker
