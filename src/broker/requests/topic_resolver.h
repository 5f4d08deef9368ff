// Finds the topics and partitions that a request names, by name or by id, in an image. It is the one place that knows Kafka's
// error for a topic or a partition that a client cannot have.
//
// It asks for the right that the row of the request's API needs of a topic (ApiNeeds), before it looks whether the topic is
// there. A client without the right does not learn that. Topic ids are no secret, but the names behind them are.
//
// A topic that is found belongs to the image and lives as long. On the shard of the connection.
#pragma once

#include <cstdint>
#include <string_view>

#include "broker/metadata/metadata_image.h"
#include "broker/server/request_context.h"
#include "protocol/errors.h"
#include "security/authorization/authorizer.h"

namespace weir::broker {

// The clients that get INVALID_TOPIC_EXCEPTION for a name that no topic can have.
enum class InvalidNames : uint8_t {
  kUnknown,          // none: it is a topic that does not exist
  kTold,             // those with the right to a topic of that name
  kToldToEverybody,  // also those without it
};

// How an API names topics.
struct TopicNaming {
  // The first version that names them by id.
  int16_t ids_from = INT16_MAX;
  InvalidNames invalid_names = InvalidNames::kUnknown;
  // A client that may describe a topic is told that it does not exist, even without the right that the API needs.
  bool describe_tells_absence = false;
};

// A topic of the image, or why there is none.
struct ResolvedTopic {
  const Topic* topic = nullptr;
  protocol::ErrorCode error = protocol::ErrorCode::kNone;
  const MetadataImage* image = nullptr;  // of a topic that is found

  explicit operator bool() const { return topic != nullptr; }
  const Topic* operator->() const { return topic; }
  const Topic& operator*() const { return *topic; }
  // Why one of its partitions cannot be had; the topic's error, if there is one.
  protocol::ErrorCode error_of(int32_t partition) const {
    if (topic == nullptr) return error;
    return topic->has_partition(partition) ? protocol::ErrorCode::kNone : protocol::ErrorCode::kUnknownTopicOrPartition;
  }
  // The same for requests that its leader alone serves: NOT_LEADER_OR_FOLLOWER if another broker leads it, or none.
  protocol::ErrorCode error_of_led(int32_t partition) const {
    const protocol::ErrorCode refused = error_of(partition);
    if (refused != protocol::ErrorCode::kNone) return refused;
    return image->owner(*topic, partition).local() ? protocol::ErrorCode::kNone : protocol::ErrorCode::kNotLeaderOrFollower;
  }
};

class TopicResolver {
 public:
  using Operation = security::AclOperation;

  // The context and the image outlive it.
  TopicResolver(const RequestContext& context, const MetadataImage& image, const TopicNaming& naming = {});

  // Whether requests of this version name topics by id.
  bool by_id() const { return by_id_; }

  // As the request's version names it.
  ResolvedTopic find(std::string_view name, const TopicId& id) const { return by_id_ ? find(id) : find(name); }
  // TOPIC_AUTHORIZATION_FAILED, UNKNOWN_TOPIC_OR_PARTITION or INVALID_TOPIC_EXCEPTION.
  ResolvedTopic find(std::string_view name) const;
  // UNKNOWN_TOPIC_ID or TOPIC_AUTHORIZATION_FAILED.
  ResolvedTopic find(const TopicId& id) const;

  // The error of a partition whose topic id is not found any more. The topic was called `name` when the client began to use it.
  // INCONSISTENT_TOPIC_ID: another topic has the name by now.
  protocol::ErrorCode error_of_lost(std::string_view name, int32_t partition) const;

  // Whether the client has the right that the API needs to a topic, which need not exist. For requests that name no topic, or new
  // ones.
  bool may(std::string_view name) const { return may(operation_, name); }
  bool may(Operation operation, std::string_view name) const {
    return context_.authorize(operation, {security::ResourceType::kTopic, name});
  }
  // The right to create a topic of this name, or any.
  bool may_create(std::string_view name) const {
    return context_.authorize(Operation::kCreate, {}) || may(Operation::kCreate, name);
  }

 private:
  const RequestContext& context_;
  const MetadataImage& image_;
  const TopicNaming naming_;
  const bool by_id_;
  const Operation operation_;  // kNone: no right to a topic is needed
};

}  // namespace weir::broker
