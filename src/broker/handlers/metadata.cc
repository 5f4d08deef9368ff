#include "broker/handlers/metadata.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "broker/requests/node_answers.h"
#include "broker/requests/topic_resolver.h"
#include "protocol/messages/metadata.h"
#include "runtime/homebound.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;
using protocol::MetadataRequest;
using protocol::MetadataResponse;
using ResponseTopic = MetadataResponse::MetadataResponseTopic;

constexpr TopicNaming kNaming{.ids_from = 12, .invalid_names = InvalidNames::kTold};

class MetadataOperation : public runtime::Homebound {
 public:
  MetadataOperation(Broker& broker, RequestContextPtr context)
      : Homebound(context->loop()),
        broker_(broker),
        shard_(broker.shard(context->loop().index())),
        context_(std::move(context)) {}

  void start() {
    if (!context_->decode(request_)) return;
    if (!context_->reserve(std::min(answer_bytes(), context_->most_answer_bytes()))) return;
    if (names_missing()) return refuse_all();
    std::vector<Controller::NewTopic> missing = topics_to_create();
    if (missing.empty()) return respond();
    std::vector<std::string> names;
    for (const auto& topic : missing) names.push_back(topic.name);
    broker_.create_topics(Caller(*context_), std::move(missing),
                          [self = runtime::HomeRef(this), names = std::move(names)](Controller::Outcomes outcomes) {
                            for (size_t i = 0; i < names.size(); ++i) {
                              if (outcomes[i].error == ErrorCode::kNone || outcomes[i].error == ErrorCode::kTopicAlreadyExists)
                                continue;
                              self->refused_.emplace(names[i], outcomes[i].error);
                            }
                            self->respond();
                          });
  }

 private:
  TopicResolver topics_of(const MetadataImage& image) const { return {*context_, image, kNaming}; }
  bool by_id_allowed() const { return context_->version() >= kNaming.ids_from; }
  // Versions 10 and 11 have ids and names that may be null, for nothing.
  bool names_missing() const {
    if (by_id_allowed() || !request_.topics) return false;
    for (const auto& asked : *request_.topics) {
      if (!asked.name || !asked.topic_id.is_zero()) return true;
    }
    return false;
  }
  void refuse_all() {
    MetadataResponse response;
    response.topics = context_->arena().array<ResponseTopic>(request_.topics->size());
    for (size_t i = 0; i < response.topics.size(); ++i) {
      const auto& asked = (*request_.topics)[i];
      response.topics[i].error_code = code(ErrorCode::kInvalidRequest);
      response.topics[i].name = asked.name.value_or(std::string_view());
      response.topics[i].topic_id = asked.topic_id;
    }
    context_->respond(response);
  }
  bool all_topics() const { return !request_.topics || (context_->version() == 0 && request_.topics->empty()); }
  // As soon as one id is given, only ids count.
  bool by_id() const {
    if (!by_id_allowed() || !request_.topics) return false;
    for (const auto& asked : *request_.topics) {
      if (!asked.topic_id.is_zero()) return true;
    }
    return false;
  }

  // At most, decoded and encoded; every topic is answered once.
  uint64_t answer_bytes() const {
    constexpr uint64_t kTopicBytes = 512, kPartitionBytes = 256;
    const MetadataImage& image = *shard_.image;
    uint64_t topics = 0, partitions = 0;
    if (all_topics()) {
      topics = image.topic_count();
      partitions = static_cast<uint64_t>(image.partition_count());
    } else {
      const TopicResolver resolver = topics_of(image);
      for (const auto& asked : *request_.topics) {
        const ResolvedTopic topic =
            asked.topic_id.is_zero() ? resolver.find(asked.name.value_or(std::string_view())) : resolver.find(asked.topic_id);
        if (topic) partitions += static_cast<uint64_t>(topic->partition_count());
      }
      partitions = std::min(partitions, static_cast<uint64_t>(image.partition_count()));
    }
    return topics * kTopicBytes + partitions * kPartitionBytes;
  }

  std::vector<Controller::NewTopic> topics_to_create() {
    std::vector<Controller::NewTopic> missing;
    if (all_topics() || by_id() || !request_.allow_auto_topic_creation || !broker_.settings().auto_create_topics_enable) {
      return missing;
    }
    const TopicResolver resolver = topics_of(*shard_.image);
    std::unordered_set<std::string_view> seen;
    for (const auto& asked : *request_.topics) {
      const std::string_view name = asked.name.value_or(std::string_view());
      if (!seen.insert(name).second) continue;
      if (resolver.find(name).error != ErrorCode::kUnknownTopicOrPartition || is_internal_topic(name)) continue;
      if (!resolver.may_create(name)) {
        refused_.emplace(name, ErrorCode::kTopicAuthorizationFailed);
        continue;
      }
      if (broker_.settings().default_replication_factor > 1) {
        refused_.emplace(name, ErrorCode::kInvalidReplicationFactor);
        continue;
      }
      missing.push_back({std::string(name), broker_.settings().num_partitions, {}});
    }
    return missing;
  }

  void respond() {
    protocol::Arena& arena = context_->arena();
    MetadataResponse response;
    // Keeps the topics alive while they are encoded.
    image_ = shard_.image;
    response.brokers = nodes_of<MetadataResponse::MetadataResponseBroker>(*image_, context_->connection(), arena);
    response.cluster_id = broker_.cluster_id();
    response.controller_id = image_->controller_id();
    if (request_.include_cluster_authorized_operations)
      response.cluster_authorized_operations = context_->authorized_operations({});
    leadership_.emplace(*image_, broker_.offline(), arena);
    if (all_topics()) add_all(response);
    else add_asked(response);
    context_->respond(response);
  }

  void add_all(MetadataResponse& response) {
    response.topics = context_->arena().array<ResponseTopic>(image_->topic_count());
    const TopicResolver resolver = topics_of(*image_);
    size_t count = 0;
    image_->for_each([&](const TopicPtr& topic) {
      if (resolver.may(topic->name())) fill(response.topics[count++], *topic);
    });
    response.topics = response.topics.first(count);
  }

  void add_asked(MetadataResponse& response) {
    const bool ids = by_id();
    const TopicResolver resolver = topics_of(*image_);
    response.topics = context_->arena().array<ResponseTopic>(request_.topics->size());
    size_t count = 0;
    std::unordered_set<std::string_view> names;
    std::unordered_set<TopicId> topic_ids;
    for (const auto& asked : *request_.topics) {
      if (ids && (asked.topic_id.is_zero() || !topic_ids.insert(asked.topic_id).second)) continue;
      const std::string_view name = asked.name.value_or(std::string_view());
      if (!ids && !names.insert(name).second) continue;
      ResponseTopic& answer = response.topics[count++];
      const ResolvedTopic topic = ids ? resolver.find(asked.topic_id) : resolver.find(name);
      if (topic) {
        fill(answer, *topic);
      } else if (ids) {
        answer.name = std::nullopt;
        answer.error_code = code(topic.error);
        answer.topic_id = asked.topic_id;
      } else {
        answer.name = name;
        answer.error_code = code(error_of_missing(name, topic.error));
        answer.is_internal = topic.error != ErrorCode::kTopicAuthorizationFailed && is_internal_topic(name);
      }
    }
    response.topics = response.topics.first(count);
  }

  // A topic that could not be created has the reason as its error.
  ErrorCode error_of_missing(std::string_view name, ErrorCode error) const {
    if (error != ErrorCode::kUnknownTopicOrPartition) return error;
    const auto refused = refused_.find(std::string(name));
    return refused == refused_.end() ? error : refused->second;
  }

  void fill(ResponseTopic& answer, const Topic& topic) {
    answer.name = topic.name();
    answer.topic_id = topic.id();
    answer.is_internal = topic.internal;
    if (request_.include_topic_authorized_operations) {
      answer.topic_authorized_operations = context_->authorized_operations({security::ResourceType::kTopic, topic.name()});
    }
    answer.partitions =
        context_->arena().array<MetadataResponse::MetadataResponsePartition>(static_cast<size_t>(topic.partition_count()));
    for (size_t i = 0; i < answer.partitions.size(); ++i) leadership_->fill(answer.partitions[i], topic, static_cast<int32_t>(i));
  }

  Broker& broker_;
  BrokerShard& shard_;
  RequestContextPtr context_;
  MetadataRequest request_;
  MetadataImagePtr image_;
  std::optional<LeadershipAnswers> leadership_;
  std::unordered_map<std::string, ErrorCode> refused_;  // topics that could not be created
};

}  // namespace

void handle_metadata(Broker& broker, RequestContextPtr context) {
  runtime::make_homebound<MetadataOperation>(broker, std::move(context))->start();
}

}  // namespace weir::broker
