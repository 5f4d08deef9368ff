#include "broker/admin/config_rights.h"

#include "broker/metadata/config_record.h"

namespace weir::broker {

using protocol::ErrorCode;

ErrorCode config_denial(const RequestContext& context, int8_t type, std::string_view name) {
  using security::ResourceType;
  switch (static_cast<ConfigResourceType>(type)) {
    case ConfigResourceType::kTopic:
      return context.may({ResourceType::kTopic, name}) ? ErrorCode::kNone : ErrorCode::kTopicAuthorizationFailed;
    case ConfigResourceType::kGroup:
      return context.may({ResourceType::kGroup, name}) ? ErrorCode::kNone : ErrorCode::kGroupAuthorizationFailed;
    case ConfigResourceType::kBroker:
    case ConfigResourceType::kBrokerLogger:
    case ConfigResourceType::kClientMetrics:
      return context.may({}) ? ErrorCode::kNone : ErrorCode::kClusterAuthorizationFailed;
  }
  return ErrorCode::kNone;
}

std::string_view denial_text(ErrorCode denial) {
  if (denial == ErrorCode::kTopicAuthorizationFailed) return "Topic authorization failed.";
  if (denial == ErrorCode::kGroupAuthorizationFailed) return "Group authorization failed.";
  return "Cluster authorization failed.";
}

}  // namespace weir::broker
