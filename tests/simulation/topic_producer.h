// A client of the consumer-group scenario that sends: an idempotent producer, now to one partition, now to another.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "protocol/messages/produce.h"
#include "simulation/consumer_stage.h"
#include "simulation/log_clients.h"

namespace weir::simulation {

class TopicProducer {
 public:
  explicit TopicProducer(ConsumerStage& stage);

  void start() { again(); }
  void drop() { connection_.drop(); }
  // True if nothing is left to be sent once everything settles.
  bool finished() const { return !producer_ || !producer_->has_pending(); }

 private:
  void again();
  void work();
  void initialize();
  void produce();
  void produced(const protocol::ProduceResponse* response);

  ConsumerStage& stage_;
  KafkaClient connection_;
  std::unique_ptr<LogProducer> producer_;
};

}  // namespace weir::simulation
