#include "broker/handlers/create_topics.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "broker/admin/refusal.h"
#include "broker/admin/replica_assignment.h"
#include "broker/config/topic_config.h"
#include "broker/metadata/topic_name.h"
#include "broker/requests/topic_resolver.h"
#include "protocol/messages/create_topics.h"
#include "runtime/homebound.h"

namespace weir::broker {

using protocol::CreateTopicsRequest;
using protocol::CreateTopicsResponse;
using protocol::ErrorCode;
using TopicResult = CreateTopicsResponse::CreatableTopicResult;

namespace {

class CreateTopicsOperation : public runtime::Homebound {
 public:
  CreateTopicsOperation(Broker& broker, RequestContextPtr context)
      : Homebound(context->loop()),
        broker_(broker),
        shard_(broker.shard(context->loop().index())),
        context_(std::move(context)) {}

  void start() {
    if (!context_->decode(request_)) return;
    constexpr uint64_t kConfigBytes = 150;  // of each topic's answer
    const uint64_t made = std::min<uint64_t>(request_.topics.size(), kMaxPartitionsPerRequest);
    const uint64_t bytes = made * topic_config_keys().size() * kConfigBytes;
    if (!context_->reserve(std::min(bytes, context_->most_answer_bytes()))) return;
    response_.topics = context_->arena().array<TopicResult>(request_.topics.size());
    if (too_many_partitions()) return refuse_all();
    std::unordered_map<std::string_view, int> times;
    for (const auto& asked : request_.topics) ++times[asked.name];
    for (const auto& asked : request_.topics) {
      // A name given twice is answered once.
      int& named = times[asked.name];
      if (named == 0) continue;
      TopicResult& result = response_.topics[results_++];
      result.name = asked.name;
      result.num_partitions = -1;
      result.replication_factor = -1;
      if (std::exchange(named, 0) > 1) refuse(result, {ErrorCode::kInvalidRequest, "Duplicate topic name."});
      else prepare(asked, result);
    }
    response_.topics = response_.topics.first(results_);
    broker_.create_topics(Caller(*context_), std::move(topics_),
                          {[self = runtime::HomeRef(this)](Controller::Outcomes outcomes) { self->created(std::move(outcomes)); },
                           request_.timeout_ms},
                          request_.validate_only);
  }

 private:
  int64_t partitions_of(const CreateTopicsRequest::CreatableTopic& asked) const {
    if (!asked.assignments.empty()) return static_cast<int64_t>(asked.assignments.size());
    return asked.num_partitions == -1 ? broker_.settings().num_partitions : std::max(0, asked.num_partitions);
  }
  bool too_many_partitions() const {
    int64_t partitions = 0;
    for (const auto& asked : request_.topics) partitions += partitions_of(asked);
    return partitions > kMaxPartitionsPerRequest;
  }
  void refuse_all() {
    for (size_t i = 0; i < response_.topics.size(); ++i) {
      response_.topics[i].name = request_.topics[i].name;
      response_.topics[i].num_partitions = response_.topics[i].replication_factor = -1;
      refuse(response_.topics[i], {ErrorCode::kPolicyViolation, "Excessively large number of partitions per request."});
    }
    context_->respond(response_);
  }

  void refuse(TopicResult& result, Refusal refusal) {
    result.error_code = code(refusal.error);
    if (!refusal.message.empty()) result.error_message = context_->arena().copy(refusal.message);
  }

  // Checks everything but whether the name is free, which the controller decides, and adds the topic to topics_.
  void prepare(const CreateTopicsRequest::CreatableTopic& asked, TopicResult& result) {
    if (asked.name == "__cluster_metadata") {
      return refuse(result, {ErrorCode::kInvalidRequest, "Creation of internal topic __cluster_metadata is prohibited."});
    }
    if (!TopicResolver(*context_, *shard_.image).may(asked.name)) {
      return refuse(result, {ErrorCode::kTopicAuthorizationFailed, {}});
    }
    if (shard_.image->find(asked.name) != nullptr) {
      return refuse(result, {ErrorCode::kTopicAlreadyExists, fmt::format("Topic '{}' already exists.", asked.name)});
    }
    if (auto fault = topic_name_fault(asked.name)) {
      return refuse(result, {ErrorCode::kInvalidTopicException, std::move(*fault)});
    }
    Controller::NewTopic topic;
    topic.name = asked.name;
    if (auto refusal = take_configs(asked, topic.configs)) return refuse(result, std::move(*refusal));
    if (auto refusal = asked.assignments.empty() ? check_counts(asked) : check_assignments(asked)) {
      return refuse(result, std::move(*refusal));
    }
    topic.partition_count = static_cast<int32_t>(partitions_of(asked));
    topics_.push_back(std::move(topic));
    asked_.push_back(&result);
  }

  std::optional<Refusal> take_configs(const CreateTopicsRequest::CreatableTopic& asked, ConfigOverrides& configs) const {
    std::vector<std::string_view> nulls;
    for (const auto& config : asked.configs) {
      if (!config.value) nulls.push_back(config.name);
      else configs.insert_or_assign(std::string(config.name), std::string(*config.value));
    }
    if (!nulls.empty()) {
      return Refusal{ErrorCode::kInvalidConfig,
                     fmt::format("Null value not supported for topic configs: {}", fmt::join(nulls, ","))};
    }
    if (auto valid = check_topic_configs(configs, *shard_.image->config()); !valid) {
      return Refusal{ErrorCode::kInvalidConfig, valid.error().message};
    }
    return std::nullopt;
  }

  std::optional<Refusal> check_counts(const CreateTopicsRequest::CreatableTopic& asked) const {
    if (asked.replication_factor < -1 || asked.replication_factor == 0) {
      return Refusal{ErrorCode::kInvalidReplicationFactor,
                     "Replication factor must be larger than 0, or -1 to use the default value."};
    }
    if (asked.num_partitions < -1 || asked.num_partitions == 0) {
      return Refusal{ErrorCode::kInvalidPartitions, "Number of partitions was set to an invalid non-positive value."};
    }
    const int replicas =
        asked.replication_factor == -1 ? broker_.settings().default_replication_factor : asked.replication_factor;
    if (replicas > 1) {
      return Refusal{
          ErrorCode::kInvalidReplicationFactor,
          fmt::format(
              "Unable to replicate the partition {0} time(s): The target replication factor of {0} cannot "
              "be reached because only 1 broker(s) are registered or some brokers have all their log directories cordoned.",
              replicas)};
    }
    return std::nullopt;
  }

  std::optional<Refusal> check_assignments(const CreateTopicsRequest::CreatableTopic& asked) const {
    if (asked.replication_factor != -1) {
      return Refusal{ErrorCode::kInvalidRequest,
                     "A manual partition assignment was specified, but replication factor was not set to -1."};
    }
    if (asked.num_partitions != -1) {
      return Refusal{ErrorCode::kInvalidRequest,
                     "A manual partition assignment was specified, but numPartitions was not set to -1."};
    }
    std::unordered_set<int32_t> indexes;
    for (const auto& assignment : asked.assignments) {
      if (!indexes.insert(assignment.partition_index).second) {
        return Refusal{ErrorCode::kInvalidReplicaAssignment,
                       fmt::format("Found multiple manual partition assignments for partition {}", assignment.partition_index)};
      }
      if (auto refusal = check_assignment(assignment.broker_ids, *shard_.image)) return refusal;
    }
    for (size_t i = 0; i < indexes.size(); ++i) {
      if (!indexes.contains(static_cast<int32_t>(i))) {
        return Refusal{ErrorCode::kInvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence"};
      }
    }
    return std::nullopt;
  }

  void created(Controller::Outcomes outcomes) {
    for (size_t i = 0; i < outcomes.size(); ++i) {
      Controller::Outcome& outcome = outcomes[i];
      if (outcome.error != ErrorCode::kNone) {
        refuse(*asked_[i], {outcome.error, std::move(outcome.message)});
        continue;
      }
      succeed(*asked_[i], outcome.topic->record);
    }
    context_->respond(response_);
  }

  void succeed(TopicResult& result, const TopicRecord& record) {
    protocol::Arena& arena = context_->arena();
    result.error_message = std::nullopt;
    result.topic_id = record.id;
    if (!TopicResolver(*context_, *shard_.image).may(TopicResolver::Operation::kDescribeConfigs, record.name)) {
      result.topic_config_error_code = code(ErrorCode::kTopicAuthorizationFailed);
      return;
    }
    result.num_partitions = record.partition_count;
    result.replication_factor = 1;
    const auto keys = topic_config_keys();
    auto configs = arena.array<CreateTopicsResponse::CreatableTopicConfigs>(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      const EffectiveConfig effective = effective_topic_config(keys[i], record.configs, *shard_.image->config());
      configs[i].name = keys[i].key.name;
      configs[i].value = arena.copy(effective.value);
      configs[i].config_source = static_cast<int8_t>(effective.source);
    }
    result.configs = configs;
  }

  Broker& broker_;
  BrokerShard& shard_;
  RequestContextPtr context_;
  CreateTopicsRequest request_;
  CreateTopicsResponse response_;
  size_t results_ = 0;
  std::vector<Controller::NewTopic> topics_;  // to be created
  std::vector<TopicResult*> asked_;           // their places in the response
};

}  // namespace

void handle_create_topics(Broker& broker, RequestContextPtr context) {
  runtime::make_homebound<CreateTopicsOperation>(broker, std::move(context))->start();
}

}  // namespace weir::broker
