#include "protocol/messages/list_groups.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/ascii_case.h"
#include "broker/handlers/group_handlers.h"

namespace weir::broker {
namespace {

using coordination::ListedGroup;
using coordination::ListResult;
using protocol::ErrorCode;
using protocol::ListGroupsResponse;

// Case does not matter; the filter is in lower case.
bool contains(const std::set<std::string>& filter, std::string_view value) {
  return filter.empty() || filter.contains(lower_case(value));
}

struct ListGroups final : runtime::Homebound {
  explicit ListGroups(runtime::Loop& home) : Homebound(home) {}
  RequestContextPtr context;
  std::set<std::string> states;
  std::set<std::string> types;
  std::vector<ListedGroup> groups;
  ErrorCode error{};
  int32_t pending = 0;

  void add(ListResult& result) {
    if (result.error == ErrorCode::kNone) std::move(result.groups.begin(), result.groups.end(), std::back_inserter(groups));
    // A coordinator that is on its way elsewhere lists its groups there.
    else if (result.error != ErrorCode::kNotCoordinator) error = result.error;
  }
  void respond() {
    ListGroupsResponse response;
    response.error_code = code(error);
    const GroupResolver shown(*context);
    std::erase_if(groups, [&](const ListedGroup& group) {
      return !contains(states, group.state) || !contains(types, group.type) || !shown.may(group.group_id);
    });
    if (error != ErrorCode::kNone) groups.clear();
    std::sort(groups.begin(), groups.end(), [](const auto& a, const auto& b) { return a.group_id < b.group_id; });
    response.groups = context->arena().array<ListGroupsResponse::ListedGroup>(groups.size());
    for (size_t i = 0; i < groups.size(); ++i) {
      response.groups[i].group_id = groups[i].group_id;
      response.groups[i].protocol_type = groups[i].protocol_type;
      response.groups[i].group_state = groups[i].state;
      response.groups[i].group_type = groups[i].type;
    }
    context->respond(response);
  }
};

}  // namespace

void handle_list_groups(GroupCoordinators& groups, RequestContextPtr context) {
  protocol::ListGroupsRequest request;
  if (!context->decode(request)) return;
  if (!context->reserve(std::min(groups.answer_bytes(), context->most_answer_bytes()))) return;
  const unsigned home = context->loop().index();
  auto all = runtime::make_homebound<ListGroups>(context->loop());
  for (const std::string_view state : request.states_filter) all->states.insert(lower_case(state));
  for (const std::string_view type : request.types_filter) all->types.insert(lower_case(type));
  all->context = std::move(context);
  const int32_t partitions = groups.partition_count(home);
  all->pending = partitions + 1;
  const auto arrived = [all] {
    if (--all->pending == 0) all->respond();
  };
  for (int32_t i = 0; i < partitions; ++i) {
    groups.call_partition<ListResult>(
        home, i,
        reply_on<ListResult>(groups, home,
                             [all, arrived](ListResult& result) {
                               all->add(result);
                               arrived();
                             }),
        [](auto& state, auto reply, auto, auto& effects) { state.list(std::move(reply), effects); });
  }
  arrived();
}

}  // namespace weir::broker
