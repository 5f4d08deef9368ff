// A broker on a machine of the simulation with one topic of one partition, and a client that knows the acknowledged records.
// Calls let virtual time pass until they are answered.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "apps/server.h"
#include "protocol/errors.h"
#include "simulation/kafka_client.h"
#include "simulation/log_clients.h"

namespace weir::simulation {

class SmallBroker {
 public:
  // Starts, and creates the topic.
  SmallBroker(testing::SimRuntime& sim, unsigned machine, uint16_t port);
  ~SmallBroker();

  void kill(testing::Death death);
  void start();  // on the disk as it is
  void restart(testing::Death death) {
    kill(death);
    start();
  }
  bool serves() const { return server_ != nullptr; }

  // Notes the record if it is acknowledged. Nothing: the machine died meanwhile, or the connection broke.
  std::optional<protocol::ErrorCode> produce();
  // Names the acknowledged records that cannot be read as they were sent. Empty: all of them can.
  std::string missing();
  size_t acked() const { return acked_.size(); }

 private:
  // False if a machine died instead.
  bool run_until(const std::function<bool()>& condition);

  testing::SimRuntime& sim_;
  const unsigned machine_;
  const uint16_t port_;
  KafkaClient client_;
  testing::SeededRandom random_;
  Oracle sent_;
  runtime::Runtime world_;
  std::unique_ptr<apps::Server> server_;
  storage::PartitionId partition_;
  std::map<int64_t, uint64_t> acked_;
};

}  // namespace weir::simulation
