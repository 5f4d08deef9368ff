// The server scenario: a broker of one process, clients of all kinds, and their knowledge. The workload is in
// server_scenario.cc, the questions after a restart are in server_verification.cc.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "apps/server.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/produce.h"
#include "simulation/crash_harness.h"
#include "simulation/group_member.h"
#include "simulation/group_offsets.h"
#include "simulation/kafka_client.h"
#include "simulation/log_clients.h"
#include "simulation/server_faults.h"
#include "simulation/server_scenario.h"

namespace weir::simulation {

// Drawn per seed.
struct ServerScenarioOptions {
  explicit ServerScenarioOptions(DrawnOptions& drawn);
  uint64_t steps;  // of each client, per life
  int32_t partitions;
  uint64_t producers, consumers, committers, groups, members;
  uint64_t offsets_partitions, segment_bytes, memory_bytes, fetch_bytes;
  bool slow_readers, member_crashes, members_leave, alter_configs;
};

constexpr const char* kGroupTopic = "grouped";  // members of groups read it; it is never deleted
constexpr int8_t kTopicResource = 2;
constexpr const char* kRetention = "retention.ms of ";
constexpr int64_t kRetryNs = 50 * runtime::kMillisecond;

class ServerScenario final : public Scenario {
 public:
  ServerScenario(testing::SimRuntime& sim, Oracle& oracle, testing::SeededRandom random, DrawnOptions& options)
      : sim_(sim),
        oracle_(oracle),
        random_(random),
        options_(options),
        faults_(sim, oracle, testing::SeededRandom(sim.seed(), 60), options),
        offsets_(oracle),
        verifier_(sim.client_loop()) {
    make_clients();
  }

  void start() override;
  bool started() override { return ready_; }
  void verify() override;
  bool verified() override { return verifying_ == 0; }
  void work() override;
  bool worked() override;
  void settle() override;
  bool settled() override;
  void stop() override {
    stopping_ = true;
    server_->stop([this] { drained_ = true; });
  }
  bool stopped() override;
  void destroy() override {
    server_.reset();
    if (ready_ && !stopping_) ++crashes_;
    ready_ = working_ = stopping_ = drained_ = settling_ = false;
    faults_.end();
    verifying_ = 0;
  }
  std::string failure() override { return failure_; }

 private:
  struct Client {
    enum Role { kProducer, kConsumer, kAdministrator, kCommitter };
    Client(runtime::Loop& loop, Role does, uint64_t which) : role(does), number(which), connection(loop) {}
    Role role;
    uint64_t number;  // among those of its role
    KafkaClient connection;
    uint64_t steps_left = 0;
    uint64_t life = 0;  // when the step began
    bool busy = false;
    std::unique_ptr<LogProducer> producer;
    std::vector<uint8_t> sending;
  };
  struct Topic {
    std::string name;
    bool deleting = false;  // the deletion is requested and not answered
  };

  void make_clients();
  std::optional<Uuid> group_topic() const;
  void fail_life(const std::string& why) {
    if (failure_.empty() && !sim_.server_died()) failure_ = why;
  }
  void refused(const Client& client, const char* what, int16_t error);
  bool unfinished(const Client& client) const { return client.producer && client.producer->has_pending(); }
  // The client's step is over. `answered` false: the client tries it again in a while.
  void finish_step(Client& client, bool answered);
  void step(Client& client);
  void init_producer(Client& client);
  void produce(Client& client);
  void produced(Client& client, const protocol::ProduceResponse* response);
  void consume(Client& client);
  void commit_offset(Client& client);
  void create_topic(Client& client);
  void alter_topic(Client& client, const Uuid& id);
  void delete_topic(Client& client, const Uuid& id);
  void delete_records(Client& client, const Uuid& id);
  bool pick_partition(storage::PartitionId& id);
  bool gone(const Uuid& topic) const {  // or about to be
    const auto known = topics_.find(topic);
    return known == topics_.end() || known->second.deleting;
  }

  void ask_for_everything();
  void check_configs();
  void check_topics(const protocol::MetadataResponse& response);
  void fetch(KafkaClient& connection, const storage::PartitionId& id, int64_t offset,
             Function<void(const protocol::FetchResponse::PartitionData*)> done);
  void check_epoch(const Uuid& topic, int32_t epoch);
  void check_offsets();
  void find_start(const storage::PartitionId& id);
  void read_all(const storage::PartitionId& id, int64_t from, std::shared_ptr<Oracle::Found> found);

  testing::SimRuntime& sim_;
  Oracle& oracle_;
  testing::SeededRandom random_;
  const ServerScenarioOptions options_;
  ServerFaults faults_;
  std::vector<std::unique_ptr<Client>> clients_;
  GroupOffsets offsets_;
  std::vector<std::unique_ptr<ConsumerGroup>> groups_;
  std::vector<std::pair<ConsumerGroup*, std::unique_ptr<GroupMember>>> members_;
  KafkaClient verifier_;

  // The clients' knowledge.
  std::map<Uuid, Topic> topics_;
  std::set<std::string> creating_;                                      // names of creations without an answer
  std::map<storage::PartitionId, std::pair<int64_t, int64_t>> ranges_;  // log start and high watermark seen last
  unsigned next_name_ = 0;
  struct SeenEpoch {
    int32_t epoch = 0;
    uint64_t crashes = 0;
  };
  std::map<Uuid, SeenEpoch> epochs_;  // of leaders, by topic

  // This life. Answers of an earlier one may still come in.
  uint64_t life_ = 0;
  uint64_t crashes_ = 0;  // lives that served and did not end in order
  runtime::Runtime world_;
  std::unique_ptr<apps::Server> server_;
  std::string failure_;
  bool ready_ = false;
  bool working_ = false;
  bool calm_ = false;  // no request that a client gave up is under way any more
  bool calming_ = false;
  bool settling_ = false;
  int64_t producers_done_ns_ = -1;
  bool stopping_ = false;
  bool drained_ = false;
  unsigned verifying_ = 0;
};

}  // namespace weir::simulation
