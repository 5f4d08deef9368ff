// Says whether a client may use the groups that its request names. It is the one place that knows Kafka's error for a group that
// a client cannot have.
//
// It asks for the right that the row of the request's API needs of a group (ApiNeeds). It does so before a coordinator is asked:
// a client without the right changes nothing, and does not learn whether the group is there. On the shard of the connection.
#pragma once

#include <string_view>

#include "broker/server/request_context.h"
#include "protocol/errors.h"
#include "security/authorization/authorizer.h"

namespace weir::broker {

class GroupResolver {
 public:
  // The context outlives it.
  explicit GroupResolver(const RequestContext& context)
      : context_(context), operation_(context.needed(security::ResourceType::kGroup)) {}

  bool may(std::string_view group_id) const { return context_.authorize(operation_, {security::ResourceType::kGroup, group_id}); }
  // GROUP_AUTHORIZATION_FAILED, or none.
  protocol::ErrorCode error_of(std::string_view group_id) const {
    return may(group_id) ? protocol::ErrorCode::kNone : protocol::ErrorCode::kGroupAuthorizationFailed;
  }
  // For APIs that refuse a group without a name: INVALID_GROUP_ID after that.
  protocol::ErrorCode error_of_named(std::string_view group_id) const {
    const protocol::ErrorCode denied = error_of(group_id);
    return denied == protocol::ErrorCode::kNone && group_id.empty() ? protocol::ErrorCode::kInvalidGroupId : denied;
  }

 private:
  const RequestContext& context_;
  const security::AclOperation operation_;  // kNone: no right to a group is needed
};

}  // namespace weir::broker
