// What the clients of the consumer-group scenario have in common: options, topics, subscriptions. All of it belongs to the client
// loop.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/uuid.h"
#include "simulation/client_stage.h"
#include "simulation/drawn_options.h"
#include "simulation/kafka_client.h"
#include "simulation/server_faults.h"

namespace weir::simulation {

// Drawn per seed.
struct ConsumerGroupOptions {
  explicit ConsumerGroupOptions(DrawnOptions& drawn);
  int64_t work_ns;  // of each life
  uint64_t groups, members, static_members, producers, topics;
  uint64_t offsets_partitions, segment_bytes, fetch_bytes;
  int32_t session_timeout_ms, heartbeat_interval_ms, assignment_interval_ms, rebalance_timeout_ms;
  bool crashes, leaves, stalls, resubscribes, regexes, slow_revocations, topics_grow, topics_go;
  bool topic_ids;  // in requests about offsets, else names
};

struct Subscription {
  std::set<std::string> topics;
  std::string regex;  // empty: none
  bool matches(const std::string& topic) const;
};

struct ConsumedTopic {
  std::string name;
  int32_t partitions = 0;
  bool deleting = false;  // its deletion was requested
};

class ConsumerStage : public ClientStage {
 public:
  ConsumerStage(testing::SimRuntime& sim, Oracle& oracle, testing::SeededRandom chance, DrawnOptions& drawn,
                const ServerFaults& faults);

  const ConsumerGroupOptions options;
  const ServerFaults& faults;
  std::map<Uuid, ConsumedTopic> topics;  // all that there ever were
  std::set<Uuid> existing;               // as of the last look-up
  // Since when no record comes any more. -1: some may come.
  int64_t quiet_since_ns = -1;

  // A request without an answer arrives within this time, or never.
  int64_t lost_ns() const { return faults.of_network() ? 1'100 * runtime::kMillisecond : 30 * runtime::kMillisecond; }
  bool gone(const Uuid& topic) const {  // or about to be
    const auto known = topics.find(topic);
    return known != topics.end() && known->second.deleting;
  }
  Uuid topic_id(std::string_view name) const;  // zero: unknown
  testing::NameId name_of(const TopicPartition& partition) {
    return history.partition(partition.topic.to_string(), partition.index);
  }
  // Of topics that are there or will be.
  Subscription draw_subscription();
  std::string next_topic() { return "topic-" + std::to_string(next_topic_++); }
  // Learns the topics of the broker, however often it has to ask. `done` may come while clients may not act.
  void look_up_topics(Step done);
  // The connection is gone, as after a restart of the broker.
  void drop();

 private:
  void look_up();
  uint64_t next_topic_ = 0;
  KafkaClient metadata_;
  bool looking_ = false;
  uint64_t round_ = 0;  // drop() makes the running look-up void
  std::vector<Step> waiting_;
};

}  // namespace weir::simulation
