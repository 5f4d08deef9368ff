// A client of the consumer-group scenario that makes topics, gives them more partitions, and deletes them.
#pragma once

#include <string>

#include "simulation/consumer_stage.h"

namespace weir::simulation {

class TopicAdministrator {
 public:
  explicit TopicAdministrator(ConsumerStage& stage);

  void start() { again(); }
  void drop() { connection_.drop(); }
  // True if nothing changes any more once everything settles, and the stage knows all topics.
  bool finished() const { return finished_; }

 private:
  void again();
  void work();
  void settled();
  void make();
  void grow(const Uuid& id);
  void remove(const Uuid& id);
  // The outcome of a change is known, or nobody knows it.
  void changed(bool known);
  void refused(const char* request, int16_t error);

  ConsumerStage& stage_;
  KafkaClient connection_;
  bool finished_ = false;
};

}  // namespace weir::simulation
