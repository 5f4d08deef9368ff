#include "protocol/messages/delete_groups.h"

#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "broker/handlers/group_handlers.h"

namespace weir::broker {
namespace {

using coordination::DeleteGroupResult;
using protocol::DeleteGroupsResponse;
using protocol::ErrorCode;

struct DeleteGroups final : runtime::Homebound {
  explicit DeleteGroups(runtime::Loop& home) : Homebound(home) {}
  RequestContextPtr context;
  std::vector<std::string> names;
  std::vector<ErrorCode> errors;
  size_t pending = 0;

  void respond() {
    DeleteGroupsResponse response;
    response.results = context->arena().array<DeleteGroupsResponse::DeletableGroupResult>(names.size());
    for (size_t i = 0; i < names.size(); ++i) {
      response.results[i].group_id = names[i];
      response.results[i].error_code = code(errors[i]);
    }
    context->respond(response);
  }
};

}  // namespace

void handle_delete_groups(GroupCoordinators& groups, RequestContextPtr context) {
  protocol::DeleteGroupsRequest request;
  if (!context->decode(request)) return;
  const unsigned home = context->loop().index();
  auto all = runtime::make_homebound<DeleteGroups>(context->loop());
  const GroupResolver resolver(*context);
  std::unordered_set<std::string_view> named;
  for (const std::string_view name : request.groups_names) {
    if (!named.insert(name).second) continue;
    all->names.emplace_back(name);
    all->errors.push_back(resolver.error_of(name));
  }
  all->pending = all->names.size() + 1;
  const std::string from = context->client_text();
  all->context = std::move(context);
  const auto arrived = [all] {
    if (--all->pending == 0) all->respond();
  };
  for (size_t i = 0; i < all->names.size(); ++i) {
    if (all->errors[i] != ErrorCode::kNone) {
      arrived();
      continue;
    }
    const std::string group_id = all->names[i];
    groups.call<DeleteGroupResult>(home, group_id,
                                   reply_on<DeleteGroupResult>(groups, home,
                                                               [all, arrived, i](const DeleteGroupResult& result) {
                                                                 all->errors[i] = result.error;
                                                                 arrived();
                                                               }),
                                   [group_id, from](auto& state, auto reply, auto now, auto& effects) {
                                     state.delete_group(group_id, from, std::move(reply), now, effects);
                                   });
  }
  arrived();
}

}  // namespace weir::broker
