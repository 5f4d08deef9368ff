#include "broker/requests/topic_resolver.h"

#include "broker/metadata/topic_name.h"

namespace weir::broker {

using protocol::ErrorCode;

ResolvedTopic TopicResolver::find(std::string_view name) const {
  if (const Topic* topic = image_.find(name)) return {topic, ErrorCode::kNone};
  if (tells_invalid_names_ && topic_name_fault(name)) return {nullptr, ErrorCode::kInvalidTopicException};
  return {nullptr, ErrorCode::kUnknownTopicOrPartition};
}

ResolvedTopic TopicResolver::find(const TopicId& id) const {
  if (const Topic* topic = image_.find(id)) return {topic, ErrorCode::kNone};
  return {nullptr, ErrorCode::kUnknownTopicId};
}

ErrorCode TopicResolver::error_of_lost(std::string_view name, int32_t partition) const {
  const Topic* now = image_.find(name);
  return now != nullptr && now->has_partition(partition) ? ErrorCode::kInconsistentTopicId : ErrorCode::kUnknownTopicOrPartition;
}

}  // namespace weir::broker
