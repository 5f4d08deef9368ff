#include "broker/requests/topic_resolver.h"

#include "broker/metadata/topic_name.h"

namespace weir::broker {

using protocol::ErrorCode;

TopicResolver::TopicResolver(const RequestContext& context, const MetadataImage& image, const TopicNaming& naming)
    : context_(context),
      image_(image),
      naming_(naming),
      by_id_(context.version() >= naming.ids_from),
      operation_(context.needed(security::ResourceType::kTopic)) {}

ResolvedTopic TopicResolver::find(std::string_view name) const {
  const Topic* topic = image_.find(name);
  const auto invalid = [&] { return topic == nullptr && topic_name_fault(name); };
  if (naming_.invalid_names == InvalidNames::kToldToEverybody && invalid()) return {nullptr, ErrorCode::kInvalidTopicException};
  if (!may(name) && !(topic == nullptr && naming_.describe_tells_absence && may(Operation::kDescribe, name))) {
    return {nullptr, ErrorCode::kTopicAuthorizationFailed};
  }
  if (topic != nullptr) return {topic, ErrorCode::kNone, &image_};
  if (naming_.invalid_names == InvalidNames::kTold && invalid()) return {nullptr, ErrorCode::kInvalidTopicException};
  return {nullptr, ErrorCode::kUnknownTopicOrPartition};
}

ResolvedTopic TopicResolver::find(const TopicId& id) const {
  const Topic* topic = image_.find(id);
  if (topic == nullptr) return {nullptr, ErrorCode::kUnknownTopicId};
  if (!may(topic->name())) return {nullptr, ErrorCode::kTopicAuthorizationFailed};
  return {topic, ErrorCode::kNone, &image_};
}

ErrorCode TopicResolver::error_of_lost(std::string_view name, int32_t partition) const {
  if (!may(name)) return ErrorCode::kTopicAuthorizationFailed;
  const Topic* now = image_.find(name);
  return now != nullptr && now->has_partition(partition) ? ErrorCode::kInconsistentTopicId : ErrorCode::kUnknownTopicOrPartition;
}

}  // namespace weir::broker
