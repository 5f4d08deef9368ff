#include "protocol/messages/describe_groups.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "broker/handlers/group_handlers.h"

namespace weir::broker {
namespace {

using coordination::GroupDescription;
using protocol::DescribeGroupsResponse;
using protocol::ErrorCode;

constexpr int32_t kOperationsNotAsked = INT32_MIN;

struct DescribeGroups final : runtime::Homebound {
  explicit DescribeGroups(runtime::Loop& home) : Homebound(home) {}
  RequestContextPtr context;
  bool operations_asked = false;
  std::vector<GroupDescription> groups;
  size_t pending = 0;

  void respond() {
    DescribeGroupsResponse response;
    response.groups = context->arena().array<DescribeGroupsResponse::DescribedGroup>(groups.size());
    for (size_t i = 0; i < groups.size(); ++i) fill(response.groups[i], groups[i]);
    context->respond(response);
  }
  void fill(DescribeGroupsResponse::DescribedGroup& answer, const GroupDescription& group) {
    answer.group_id = group.group_id;
    answer.group_state = group.state;
    answer.error_code = code(group.error);
    if (group.error == ErrorCode::kGroupIdNotFound) {
      // Before version 6 a group that does not exist is a dead one.
      if (context->version() < 6) answer.error_code = code(ErrorCode::kNone);
      else answer.error_message = group.error_message;
    } else if (group.error != ErrorCode::kNone) {
      answer.group_state = "";
    }
    answer.protocol_type = group.protocol_type;
    answer.protocol_data = group.protocol_name;
    const bool tell_operations = operations_asked && answer.error_code == 0;
    answer.authorized_operations =
        tell_operations ? context->authorized_operations({security::ResourceType::kGroup, group.group_id}) : kOperationsNotAsked;
    answer.members = context->arena().array<DescribeGroupsResponse::DescribedGroupMember>(group.members.size());
    for (size_t i = 0; i < group.members.size(); ++i) {
      const GroupDescription::Member& member = group.members[i];
      answer.members[i].member_id = member.member_id;
      answer.members[i].group_instance_id = member.instance_id;
      answer.members[i].client_id = member.client_id;
      answer.members[i].client_host = member.client_host;
      answer.members[i].member_metadata = as_bytes(member.metadata);
      answer.members[i].member_assignment = as_bytes(member.assignment);
    }
  }
};

}  // namespace

void handle_describe_groups(GroupCoordinators& groups, RequestContextPtr context) {
  protocol::DescribeGroupsRequest request;
  if (!context->decode(request)) return;
  if (!context->reserve(std::min(groups.answer_bytes(), context->most_answer_bytes()))) return;
  const unsigned home = context->loop().index();
  auto all = runtime::make_homebound<DescribeGroups>(context->loop());
  all->operations_asked = request.include_authorized_operations;
  // Each group once: its members may be many.
  std::unordered_set<std::string_view> named;
  const GroupResolver resolver(*context);
  for (const std::string_view group_id : request.groups) {
    if (!named.insert(group_id).second) continue;
    GroupDescription& group = all->groups.emplace_back();
    group.group_id = group_id;
    group.error = resolver.error_of(group_id);
  }
  all->pending = all->groups.size() + 1;
  all->context = std::move(context);
  const auto arrived = [all] {
    if (--all->pending == 0) all->respond();
  };
  for (size_t i = 0; i < all->groups.size(); ++i) {
    if (all->groups[i].error != ErrorCode::kNone) {
      arrived();
      continue;
    }
    const std::string group_id = all->groups[i].group_id;
    groups.call<GroupDescription>(
        home, group_id,
        reply_on<GroupDescription>(groups, home,
                                   [all, arrived, i](GroupDescription& group) {
                                     group.group_id = all->groups[i].group_id;
                                     all->groups[i] = std::move(group);
                                     arrived();
                                   }),
        [group_id](auto& state, auto reply, auto, auto& effects) { state.describe(group_id, std::move(reply), effects); });
  }
  arrived();
}

}  // namespace weir::broker
