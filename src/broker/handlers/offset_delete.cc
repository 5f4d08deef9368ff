#include "protocol/messages/offset_delete.h"

#include <memory>
#include <vector>

#include "broker/handlers/group_handlers.h"
#include "broker/requests/topic_resolver.h"

namespace weir::broker {
namespace {

using coordination::OffsetDeleteResult;
using protocol::ErrorCode;
using protocol::OffsetDeleteResponse;

struct OffsetDelete final : runtime::Homebound {
  explicit OffsetDelete(runtime::Loop& home) : Homebound(home) {}
  RequestContextPtr context;
  OffsetDeleteResponse response;
  std::vector<OffsetDeleteResponse::OffsetDeleteResponsePartition*> asked;
};

}  // namespace

void handle_offset_delete(GroupCoordinators& groups, RequestContextPtr context) {
  protocol::OffsetDeleteRequest request;
  if (!context->decode(request)) return;
  if (const ErrorCode error = GroupResolver(*context).error_of_named(request.group_id); error != ErrorCode::kNone) {
    OffsetDeleteResponse refused;
    refused.error_code = code(error);
    return context->respond(refused);
  }
  const unsigned home = context->loop().index();
  const MetadataImagePtr image = groups.broker().shard(home).image;
  const TopicResolver topics(*context, *image);
  auto all = runtime::make_homebound<OffsetDelete>(context->loop());
  coordination::OffsetDeleteRequest remove;
  remove.group_id = request.group_id;
  remove.from = context->client_text();
  protocol::Arena& arena = context->arena();
  all->response.topics = arena.array<OffsetDeleteResponse::OffsetDeleteResponseTopic>(request.topics.size());
  for (size_t t = 0; t < request.topics.size(); ++t) {
    auto& answer = all->response.topics[t];
    answer.name = request.topics[t].name;
    const ResolvedTopic topic = topics.find(answer.name);
    const auto& partitions = request.topics[t].partitions;
    answer.partitions = arena.array<OffsetDeleteResponse::OffsetDeleteResponsePartition>(partitions.size());
    for (size_t p = 0; p < partitions.size(); ++p) {
      answer.partitions[p].partition_index = partitions[p].partition_index;
      if (const ErrorCode error = topic.error_of(partitions[p].partition_index); error != ErrorCode::kNone) {
        answer.partitions[p].error_code = code(error);
        continue;
      }
      remove.items.push_back({topic->name(), partitions[p].partition_index});
      all->asked.push_back(&answer.partitions[p]);
    }
  }
  all->context = std::move(context);
  const std::string group_id = remove.group_id;
  groups.call<OffsetDeleteResult>(home, group_id,
                                  reply_on<OffsetDeleteResult>(groups, home,
                                                               [all](const OffsetDeleteResult& result) {
                                                                 if (result.error != ErrorCode::kNone) {
                                                                   OffsetDeleteResponse refused;
                                                                   refused.error_code = code(result.error);
                                                                   return all->context->respond(refused);
                                                                 }
                                                                 for (size_t i = 0; i < all->asked.size(); ++i)
                                                                   all->asked[i]->error_code = code(result.items[i]);
                                                                 all->context->respond(all->response);
                                                               }),
                                  [remove = std::move(remove)](auto& state, auto reply, auto now, auto& effects) {
                                    state.delete_offsets(remove, std::move(reply), now, effects);
                                  });
}

}  // namespace weir::broker
