#include "simulation/topic_administrator.h"

#include <fmt/core.h>

#include <algorithm>

#include "protocol/errors.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_topics.h"
#include "simulation/consumer_scenario.h"

namespace weir::simulation {

using protocol::ErrorCode;

namespace {
constexpr int32_t kPartitionsMax = 6;
}  // namespace

TopicAdministrator::TopicAdministrator(ConsumerStage& stage) : stage_(stage), connection_(stage.loop()) {
  connection_.set_timeout(stage.faults.timeout_ns());
}

void TopicAdministrator::again() {
  const int64_t pause_ns = static_cast<int64_t>(stage_.random.below(40)) * runtime::kMillisecond;
  stage_.after(pause_ns, [this] { work(); });
}

void TopicAdministrator::work() {
  if (stage_.settling()) {
    if (!finished_) stage_.look_up_topics([this] { settled(); });
    return again();
  }
  finished_ = false;
  std::vector<Uuid> living;
  for (const auto& [id, topic] : stage_.topics) {
    if (!topic.deleting) living.push_back(id);
  }
  if (living.size() < stage_.options.topics) return make();
  if (!stage_.random.one_in(4)) return again();
  const Uuid& chosen = living[stage_.random.below(living.size())];
  if (stage_.options.topics_go && stage_.random.one_in(2)) return remove(chosen);
  if (stage_.options.topics_grow && stage_.topics.at(chosen).partitions < kPartitionsMax) return grow(chosen);
  again();
}

// A deletion that has not happened by now never will.
void TopicAdministrator::settled() {
  if (!stage_.settling()) return;
  for (const Uuid& id : stage_.existing) stage_.topics.at(id).deleting = false;
  finished_ = true;
}

void TopicAdministrator::changed(bool known) {
  if (known) return again();
  // It may still be carried out. Then the stage has to know of it.
  stage_.after(stage_.lost_ns(), [this] { stage_.look_up_topics([this] { again(); }); });
}

void TopicAdministrator::refused(const char* request, int16_t error) {
  if (static_cast<ErrorCode>(error) == ErrorCode::kKafkaStorageError && stage_.faults.of_disk()) return;
  stage_.oracle().violation(fmt::format("{} got error {}", request, error));
}

void TopicAdministrator::make() {
  const std::string name = stage_.next_topic();
  protocol::CreateTopicsRequest::CreatableTopic topic;
  topic.name = name;
  topic.num_partitions = static_cast<int32_t>(stage_.random.between(1, 4));
  topic.replication_factor = 1;
  protocol::CreateTopicsRequest request;
  request.topics = {&topic, 1};
  request.timeout_ms = 30'000;
  stage_.begin_request();
  connection_.call<protocol::CreateTopicsResponse>(7, request, [this, name, count = topic.num_partitions](const auto* response) {
    stage_.end_request();
    if (!response) return changed(false);
    const auto& result = response->topics[0];
    if (result.error_code != 0) {
      refused("CreateTopics", result.error_code);
      return changed(false);
    }
    ConsumedTopic& made = stage_.topics[result.topic_id];
    made.name = name;
    made.partitions = std::max(made.partitions, count);
    changed(true);
  });
}

void TopicAdministrator::grow(const Uuid& id) {
  const std::string name = stage_.topics.at(id).name;
  protocol::CreatePartitionsRequest::CreatePartitionsTopic topic;
  topic.name = name;
  topic.count = stage_.topics.at(id).partitions + 1;
  topic.assignments = std::nullopt;
  protocol::CreatePartitionsRequest request;
  request.topics = {&topic, 1};
  request.timeout_ms = 30'000;
  stage_.begin_request();
  connection_.call<protocol::CreatePartitionsResponse>(3, request, [this, id, count = topic.count](const auto* response) {
    stage_.end_request();
    if (!response) return changed(false);
    if (response->results[0].error_code != 0) {
      refused("CreatePartitions", response->results[0].error_code);
      return changed(false);
    }
    stage_.oracle().happened(kTopicGrew);
    stage_.topics.at(id).partitions = std::max(stage_.topics.at(id).partitions, count);
    changed(true);
  });
}

void TopicAdministrator::remove(const Uuid& id) {
  stage_.topics.at(id).deleting = true;
  protocol::DeleteTopicsRequest::DeleteTopicState topic;
  topic.topic_id = id;
  protocol::DeleteTopicsRequest request;
  request.topics = {&topic, 1};
  request.timeout_ms = 30'000;
  stage_.begin_request();
  connection_.call<protocol::DeleteTopicsResponse>(6, request, [this](const auto* response) {
    stage_.end_request();
    if (!response) return changed(false);
    if (response->responses[0].error_code != 0) refused("DeleteTopics", response->responses[0].error_code);
    stage_.oracle().happened(kTopicWent);
    changed(response->responses[0].error_code == 0);
  });
}

}  // namespace weir::simulation
