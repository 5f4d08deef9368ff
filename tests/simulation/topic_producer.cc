#include "simulation/topic_producer.h"

#include <fmt/core.h>

#include "protocol/errors.h"
#include "protocol/messages/init_producer_id.h"

namespace weir::simulation {

using protocol::ErrorCode;

TopicProducer::TopicProducer(ConsumerStage& stage) : stage_(stage), connection_(stage.loop()) {
  connection_.set_timeout(stage.faults.timeout_ns());
}

void TopicProducer::again() {
  stage_.after(12 * runtime::kMillisecond, [this] { work(); });
}

void TopicProducer::work() {
  if (producer_ && stage_.gone(producer_->partition().topic)) producer_.reset();
  if (stage_.settling() && finished()) return again();
  if (producer_ && finished() && stage_.random.one_in(8)) producer_.reset();
  producer_ ? produce() : initialize();
}

void TopicProducer::initialize() {
  protocol::InitProducerIdRequest request;
  request.transactional_id = std::nullopt;
  request.transaction_timeout_ms = 60'000;
  stage_.begin_request();
  connection_.call<protocol::InitProducerIdResponse>(4, request, [this](const auto* response) {
    stage_.end_request();
    std::vector<Uuid> living;
    for (const auto& [id, topic] : stage_.topics) {
      if (!topic.deleting && topic.partitions > 0) living.push_back(id);
    }
    if (!response || response->error_code != 0 || living.empty()) return again();
    const Uuid& id = living[stage_.random.below(living.size())];
    const auto index = static_cast<int32_t>(stage_.random.below(static_cast<uint64_t>(stage_.topics.at(id).partitions)));
    producer_ = std::make_unique<LogProducer>(storage::PartitionId{id, index}, response->producer_id);
    again();
  });
}

void TopicProducer::produce() {
  const std::vector<uint8_t> sending = producer_->next(stage_.random, stage_.oracle(), stage_.wall_ms()).bytes;
  protocol::ProduceRequest::PartitionProduceData data;
  data.index = producer_->partition().index;
  data.records.data = sending;
  protocol::ProduceRequest::TopicProduceData topic;
  topic.topic_id = producer_->partition().topic;
  topic.partition_data = {&data, 1};
  protocol::ProduceRequest request;
  request.acks = -1;
  request.timeout_ms = 30'000;
  request.topic_data = {&topic, 1};
  stage_.begin_request();
  connection_.call<protocol::ProduceResponse>(13, request, [this](const auto* response) {
    stage_.end_request();
    produced(response);
    again();
  });
}

void TopicProducer::produced(const protocol::ProduceResponse* response) {
  if (!response) return;
  const auto& result = response->responses[0].partition_responses[0];
  const auto error = static_cast<ErrorCode>(result.error_code);
  if (error == ErrorCode::kNone) return producer_->acked(result.base_offset, true, stage_.oracle());
  if (error == ErrorCode::kKafkaStorageError && stage_.faults.of_disk()) return;
  if (!stage_.gone(producer_->partition().topic)) {
    stage_.oracle().violation(fmt::format("Produce got error {}", result.error_code));
  }
  producer_.reset();
}

}  // namespace weir::simulation
