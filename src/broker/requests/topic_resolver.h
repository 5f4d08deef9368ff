// Finds the topics and partitions that a request names, by name or by id, in an image: the one place that knows which error of
// Kafka's a client gets for a topic or a partition it cannot have.
//
// A topic that is found is the image's and lives as long. On the shard of the connection.
#pragma once

#include <cstdint>
#include <string_view>

#include "broker/metadata/metadata_image.h"
#include "broker/server/request_context.h"
#include "protocol/errors.h"

namespace weir::broker {

// How an API names topics.
struct TopicNaming {
  // The first version that names them by id.
  int16_t ids_from = INT16_MAX;
  // Whether a name that no topic can have is INVALID_TOPIC_EXCEPTION. Otherwise it is a topic that does not exist.
  bool tells_invalid_names = false;
};

// A topic of the image, or why there is none.
struct ResolvedTopic {
  const Topic* topic = nullptr;
  protocol::ErrorCode error = protocol::ErrorCode::kNone;

  explicit operator bool() const { return topic != nullptr; }
  const Topic* operator->() const { return topic; }
  const Topic& operator*() const { return *topic; }
  // Why one of its partitions cannot be had; the topic's error, if there is one.
  protocol::ErrorCode error_of(int32_t partition) const {
    if (topic == nullptr) return error;
    return topic->has_partition(partition) ? protocol::ErrorCode::kNone : protocol::ErrorCode::kUnknownTopicOrPartition;
  }
};

class TopicResolver {
 public:
  TopicResolver(const RequestContext& context, const MetadataImage& image, const TopicNaming& naming = {})
      : TopicResolver(context.version(), image, naming) {}
  // `version`: of the request.
  TopicResolver(int16_t version, const MetadataImage& image, const TopicNaming& naming = {})
      : image_(image), by_id_(version >= naming.ids_from), tells_invalid_names_(naming.tells_invalid_names) {}

  // Whether requests of this version name topics by id.
  bool by_id() const { return by_id_; }

  // As the request's version names it.
  ResolvedTopic find(std::string_view name, const TopicId& id) const { return by_id_ ? find(id) : find(name); }
  // UNKNOWN_TOPIC_OR_PARTITION or INVALID_TOPIC_EXCEPTION.
  ResolvedTopic find(std::string_view name) const;
  // UNKNOWN_TOPIC_ID.
  ResolvedTopic find(const TopicId& id) const;

  // A partition by the id of a topic that was called `name` when the client began to use it, and that is not found any more:
  // INCONSISTENT_TOPIC_ID if there is another one of that name by now.
  protocol::ErrorCode error_of_lost(std::string_view name, int32_t partition) const;

 private:
  const MetadataImage& image_;
  const bool by_id_;
  const bool tells_invalid_names_;
};

}  // namespace weir::broker
