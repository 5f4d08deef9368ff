#include "simulation/server_scenario.h"

#include <fmt/core.h>

#include <map>
#include <set>
#include <utility>

#include "apps/server.h"
#include "protocol/errors.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_records.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/init_producer_id.h"
#include "protocol/messages/list_offsets.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/produce.h"
#include "simulation/kafka_client.h"
#include "simulation/log_clients.h"

namespace weir::simulation {

using protocol::ErrorCode;
using storage::PartitionId;
using testing::SeededRandom;
using testing::SimRuntime;

namespace {

constexpr int32_t kPartitions = 2;
constexpr int64_t kRetryNs = 50 * runtime::kMillisecond;

class ServerScenario final : public Scenario {
 public:
  ServerScenario(SimRuntime& sim, Oracle& oracle, SeededRandom random, unsigned steps)
      : sim_(sim), oracle_(oracle), random_(random), steps_(steps), verifier_(sim.client_loop()) {
    for (int i = 0; i < 3; ++i) clients_.push_back(std::make_unique<Client>(sim.client_loop(), Client::kProducer));
    clients_.push_back(std::make_unique<Client>(sim.client_loop(), Client::kConsumer));
    clients_.push_back(std::make_unique<Client>(sim.client_loop(), Client::kAdministrator));
  }

  void start() override;
  bool started() override { return ready_; }
  void verify() override;
  bool verified() override { return verifying_ == 0; }
  void work() override;
  bool worked() override;
  void stop() override {
    server_->stop([this] { drained_ = true; });
  }
  bool stopped() override;
  void destroy() override {
    server_.reset();
    ready_ = working_ = drained_ = false;
    verifying_ = 0;
  }
  std::string failure() override { return failure_; }

 private:
  struct Client {
    enum Role { kProducer, kConsumer, kAdministrator };
    Client(runtime::Loop& loop, Role does) : role(does), connection(loop) {}
    Role role;
    KafkaClient connection;
    unsigned steps_left = 0;
    uint64_t life = 0;  // when the step began
    bool busy = false;
    std::unique_ptr<LogProducer> producer;
    std::vector<uint8_t> sending;
  };
  struct Topic {
    std::string name;
    bool deleting = false;  // asked for, not answered
  };

  void fail_life(const std::string& why) {
    if (failure_.empty() && !sim_.server_died()) failure_ = why;
  }
  void refused(const Client& client, const char* what, int16_t error);
  // The client's step is over; `answered` false: try it again in a while.
  void finish_step(Client& client, bool answered);
  void step(Client& client);
  void init_producer(Client& client);
  void produce(Client& client);
  void produced(Client& client, const protocol::ProduceResponse* response);
  void consume(Client& client);
  void create_topic(Client& client);
  void delete_topic(Client& client, const Uuid& id);
  void delete_records(Client& client, const Uuid& id);
  bool pick_partition(PartitionId& id);
  bool gone(const Uuid& topic) const {  // or about to be
    const auto known = topics_.find(topic);
    return known == topics_.end() || known->second.deleting;
  }

  void check_topics(const protocol::MetadataResponse& response);
  void fetch(KafkaClient& connection, const PartitionId& id, int64_t offset,
             Function<void(const protocol::FetchResponse::PartitionData*)> done);
  void find_start(const PartitionId& id);
  void read_all(const PartitionId& id, int64_t from, std::shared_ptr<Oracle::Found> found);

  SimRuntime& sim_;
  Oracle& oracle_;
  SeededRandom random_;
  const unsigned steps_;
  std::vector<std::unique_ptr<Client>> clients_;
  KafkaClient verifier_;

  // What the clients know.
  std::map<Uuid, Topic> topics_;
  std::set<std::string> creating_;  // names asked for without an answer
  std::map<PartitionId, std::pair<int64_t, int64_t>> ranges_;  // log start and high watermark seen last
  unsigned next_name_ = 0;

  // This life. Answers of an earlier one may still come in.
  uint64_t life_ = 0;
  runtime::Runtime world_;
  std::unique_ptr<apps::Server> server_;
  std::string failure_;
  bool ready_ = false;
  bool working_ = false;
  bool drained_ = false;
  unsigned verifying_ = 0;
};

void ServerScenario::start() {
  failure_.clear();
  ++life_;
  // Nothing asked of the last life may reach this one while it is being judged.
  for (const auto& client : clients_) client->connection.drop();
  verifier_.drop();
  world_ = sim_.runtime();
  apps::ServerOptions options;
  options.data_dir = "/data";
  options.max_memory_bytes = 64 << 20;
  for (const auto& [key, value] : {std::pair{"listeners", "PLAINTEXT://0.0.0.0:9092"},
                                   std::pair{"advertised.listeners", "PLAINTEXT://127.0.0.1:9092"},
                                   std::pair{"auto.create.topics.enable", "false"}}) {
    if (auto set = options.config.set(key, value); !set) return fail_life(set.error().message);
  }
  auto server = apps::Server::start(world_, std::move(options));
  if (!server) return fail_life("start: " + server.error().message);
  server_ = std::move(*server);
  server_->when_ready([this](Result<void> ready) {
    ready_ = ready.has_value();
    if (!ready) fail_life("not ready: " + ready.error().message);
  });
}

bool ServerScenario::stopped() {
  if (!drained_) return false;
  if (auto done = server_->finish(); !done) fail_life("finish: " + done.error().message);
  return true;
}

void ServerScenario::refused(const Client& client, const char* what, int16_t error) {
  if (client.life != life_) return;  // the last words of a server that is dead
  const auto code = static_cast<ErrorCode>(error);
  if (code == ErrorCode::kKafkaStorageError || code == ErrorCode::kCoordinatorLoadInProgress) {
    return fail_life(fmt::format("{} got error {}", what, error));
  }
  oracle_.violation(fmt::format("{} got error {}", what, error));
}

// --- The workload

void ServerScenario::work() {
  working_ = true;
  for (const auto& client : clients_) {
    client->steps_left = steps_;
    if (!client->busy) step(*client);
  }
}

bool ServerScenario::worked() {
  for (const auto& client : clients_) {
    if (client->busy || client->steps_left > 0) return false;
  }
  working_ = false;
  return true;
}

void ServerScenario::finish_step(Client& client, bool answered) {
  client.busy = false;
  if (!working_ || client.steps_left == 0) return;
  if (answered) return step(client);
  client.busy = true;
  sim_.client_loop().schedule_after(kRetryNs, [this, &client] {
    client.busy = false;
    if (working_) step(client);
  });
}

void ServerScenario::step(Client& client) {
  --client.steps_left;
  client.life = life_;
  client.busy = true;
  if (client.role == Client::kProducer) return produce(client);
  if (client.role == Client::kConsumer) return consume(client);
  if (topics_.size() < 2 || random_.one_in(4)) return create_topic(client);
  auto chosen = topics_.begin();
  std::advance(chosen, random_.below(topics_.size()));
  if (topics_.size() > 2 && random_.one_in(3)) return delete_topic(client, chosen->first);
  delete_records(client, chosen->first);
}

bool ServerScenario::pick_partition(PartitionId& id) {
  std::vector<Uuid> living;
  for (const auto& [topic, state] : topics_) {
    if (!state.deleting) living.push_back(topic);
  }
  if (living.empty()) return false;
  id = {living[random_.below(living.size())], static_cast<int32_t>(random_.below(kPartitions))};
  return true;
}

void ServerScenario::init_producer(Client& client) {
  protocol::InitProducerIdRequest request;
  request.transactional_id = std::nullopt;
  request.transaction_timeout_ms = 60'000;
  client.connection.call<protocol::InitProducerIdResponse>(4, request, [this, &client](const auto* response) {
    if (!response) return finish_step(client, false);
    if (response->error_code != 0) {
      refused(client, "InitProducerId", response->error_code);
      return finish_step(client, false);
    }
    oracle_.id_allocated("producer id", static_cast<uint64_t>(response->producer_id));
    PartitionId id;
    if (!pick_partition(id)) return finish_step(client, false);
    client.producer = std::make_unique<LogProducer>(id, response->producer_id);
    produce(client);
  });
}

void ServerScenario::produce(Client& client) {
  if (client.producer && !client.producer->has_pending() && random_.one_in(12)) client.producer.reset();
  if (client.producer && !topics_.contains(client.producer->partition().topic)) client.producer.reset();
  if (!client.producer) return init_producer(client);
  const bool repeat = !client.producer->has_pending() && !client.producer->last().bytes.empty() && random_.one_in(8);
  const OutgoingBatch& batch =
      repeat ? client.producer->last() : client.producer->next(random_, oracle_, sim_.clock().wall_ms());
  client.sending = batch.bytes;
  protocol::ProduceRequest::PartitionProduceData data;
  data.index = client.producer->partition().index;
  data.records.data = client.sending;
  protocol::ProduceRequest::TopicProduceData topic;
  topic.topic_id = client.producer->partition().topic;
  topic.partition_data = {&data, 1};
  protocol::ProduceRequest request;
  request.acks = -1;
  request.timeout_ms = 30'000;
  request.topic_data = {&topic, 1};
  client.connection.call<protocol::ProduceResponse>(13, request, [this, &client, repeat](const auto* response) {
    if (!repeat || !response) return produced(client, response);
    const auto& result = response->responses[0].partition_responses[0];
    if (result.error_code == 0) {
      oracle_.producer_acked(name_of(client.producer->partition()), client.producer->producer_id(), 0,
                             client.producer->last().base_sequence, result.base_offset);
    } else if (!gone(client.producer->partition().topic)) {
      refused(client, "a repeated Produce", result.error_code);
    }
    finish_step(client, true);
  });
}

void ServerScenario::produced(Client& client, const protocol::ProduceResponse* response) {
  if (!response) return finish_step(client, false);
  const auto& result = response->responses[0].partition_responses[0];
  const auto error = static_cast<ErrorCode>(result.error_code);
  if (error == ErrorCode::kNone) {
    client.producer->acked(result.base_offset, oracle_);
  } else if (error == ErrorCode::kUnknownTopicId || error == ErrorCode::kUnknownTopicOrPartition) {
    if (!gone(client.producer->partition().topic)) refused(client, "Produce", result.error_code);
    client.producer.reset();
  } else {
    refused(client, "Produce", result.error_code);
  }
  finish_step(client, error == ErrorCode::kNone);
}

void ServerScenario::fetch(KafkaClient& connection, const PartitionId& id, int64_t offset,
                           Function<void(const protocol::FetchResponse::PartitionData*)> done) {
  protocol::FetchRequest::FetchPartition partition;
  partition.partition = id.index;
  partition.fetch_offset = offset;
  partition.partition_max_bytes = 40'000;
  protocol::FetchRequest::FetchTopic topic;
  topic.topic_id = id.topic;
  topic.partitions = {&partition, 1};
  protocol::FetchRequest request;
  request.max_wait_ms = 5;
  request.min_bytes = 0;
  request.topics = {&topic, 1};
  connection.call<protocol::FetchResponse>(13, request, [done = std::move(done)](const auto* response) mutable {
    if (!response || response->error_code != 0 || response->responses.empty()) return done(nullptr);
    done(&response->responses[0].partitions[0]);
  });
}

void ServerScenario::consume(Client& client) {
  PartitionId id;
  if (!pick_partition(id)) return finish_step(client, false);
  const auto [start, end] = ranges_[id];
  const auto offset = static_cast<int64_t>(start + static_cast<int64_t>(random_.below(static_cast<uint64_t>(end - start) + 1)));
  fetch(client.connection, id, offset, [this, &client, id](const protocol::FetchResponse::PartitionData* data) {
    if (!data) return finish_step(client, false);
    if (data->error_code == static_cast<int16_t>(ErrorCode::kOffsetOutOfRange)) ranges_.erase(id);
    if (data->error_code != 0) return finish_step(client, true);
    ranges_[id] = {data->log_start_offset, data->high_watermark};
    std::map<int64_t, uint64_t> records;
    std::string problem;
    if (!data->records.null && !collect_records(data->records.data, records, problem)) oracle_.violation("Fetch: " + problem);
    for (const auto& [at, payload] : records) {
      if (at >= data->high_watermark) oracle_.violation(fmt::format("Fetch shows {}, past the high watermark", at));
      oracle_.read(name_of(id), at, payload);
    }
    finish_step(client, true);
  });
}

void ServerScenario::create_topic(Client& client) {
  const std::string name = "topic-" + std::to_string(next_name_++ % 5);
  creating_.insert(name);
  protocol::CreateTopicsRequest::CreatableTopic topic;
  topic.name = name;
  topic.num_partitions = kPartitions;
  topic.replication_factor = 1;
  protocol::CreateTopicsRequest request;
  request.topics = {&topic, 1};
  client.connection.call<protocol::CreateTopicsResponse>(7, request, [this, &client, name](const auto* response) {
    if (!response) return finish_step(client, false);
    const auto& result = response->topics[0];
    creating_.erase(name);
    if (result.error_code == 0) {
      // An answer from before a crash may come after the topic was found.
      if (!topics_.contains(result.topic_id)) oracle_.topic_created(result.topic_id);
      topics_.try_emplace(result.topic_id, Topic{name, false});
    } else if (result.error_code != static_cast<int16_t>(ErrorCode::kTopicAlreadyExists)) {
      refused(client, "CreateTopics", result.error_code);
    }
    finish_step(client, true);
  });
}

void ServerScenario::delete_topic(Client& client, const Uuid& id) {
  topics_[id].deleting = true;
  oracle_.topic_delete_requested(id);
  protocol::DeleteTopicsRequest::DeleteTopicState topic;
  topic.topic_id = id;
  protocol::DeleteTopicsRequest request;
  request.topics = {&topic, 1};
  request.timeout_ms = 30'000;
  client.connection.call<protocol::DeleteTopicsResponse>(6, request, [this, &client, id](const auto* response) {
    if (!response) return finish_step(client, false);
    const int16_t error = response->responses[0].error_code;
    if (error == 0) {
      oracle_.topic_deleted(id);
      topics_.erase(id);
    } else {
      refused(client, "DeleteTopics", error);
    }
    finish_step(client, true);
  });
}

void ServerScenario::delete_records(Client& client, const Uuid& id) {
  const PartitionId partition{id, static_cast<int32_t>(random_.below(kPartitions))};
  const auto [start, end] = ranges_[partition];
  const int64_t before = start + (end - start) / 4;
  if (before == start || topics_[id].deleting) return finish_step(client, true);
  oracle_.delete_requested(name_of(partition), before);
  const std::string name = topics_[id].name;
  protocol::DeleteRecordsRequest::DeleteRecordsPartition asked;
  asked.partition_index = partition.index;
  asked.offset = before;
  protocol::DeleteRecordsRequest::DeleteRecordsTopic topic;
  topic.name = name;
  topic.partitions = {&asked, 1};
  protocol::DeleteRecordsRequest request;
  request.topics = {&topic, 1};
  request.timeout_ms = 30'000;
  client.connection.call<protocol::DeleteRecordsResponse>(2, request, [this, &client, partition](const auto* response) {
    if (!response) return finish_step(client, false);
    const auto& result = response->topics[0].partitions[0];
    if (result.error_code == 0) oracle_.delete_acked(name_of(partition), result.low_watermark);
    if (result.error_code != 0) refused(client, "DeleteRecords", result.error_code);
    finish_step(client, true);
  });
}

// --- After a restart

void ServerScenario::verify() {
  working_ = false;
  verifying_ = 1;
  protocol::MetadataRequest request;
  request.topics = std::nullopt;
  verifier_.call<protocol::MetadataResponse>(13, request, [this, life = life_](const auto* response) {
    if (life != life_) return;
    // The connection of the last life may have been in use until now.
    if (!response) return verify();
    check_topics(*response);
    --verifying_;
    ranges_.clear();
    for (const auto& [id, topic] : topics_) {
      for (int32_t index = 0; index < kPartitions; ++index) {
        ++verifying_;
        find_start({id, index});
      }
    }
  });
}

void ServerScenario::check_topics(const protocol::MetadataResponse& response) {
  std::set<Uuid> found;
  for (const auto& topic : response.topics) {
    if (topic.is_internal) continue;
    const std::string name(topic.name.value_or(""));
    found.insert(topic.topic_id);
    if (topic.error_code != 0) oracle_.violation(fmt::format("topic {} has error {}", name, topic.error_code));
    if (topic.partitions.size() != kPartitions) oracle_.violation("topic " + name + " has lost partitions");
    for (const auto& partition : topic.partitions) {
      oracle_.never_back(fmt::format("leader epoch of {}-{}", topic.topic_id.to_string(), partition.partition_index),
                         partition.leader_epoch);
    }
    if (topics_.contains(topic.topic_id)) continue;
    if (creating_.contains(name)) {  // created, but the answer was lost
      oracle_.topic_create_requested(topic.topic_id);
      oracle_.topic_created(topic.topic_id);
      topics_[topic.topic_id] = {name, false};
    }
  }
  oracle_.topics_found(found);
  std::erase_if(topics_, [&](const auto& entry) {
    if (found.contains(entry.first)) return false;
    oracle_.topic_deleted(entry.first);  // for good: seen once
    return true;
  });
  creating_.clear();
}

void ServerScenario::find_start(const PartitionId& id) {
  constexpr int64_t kEarliest = -2;
  protocol::ListOffsetsRequest::ListOffsetsPartition partition;
  partition.partition_index = id.index;
  partition.timestamp = kEarliest;
  const std::string name = topics_.at(id.topic).name;
  protocol::ListOffsetsRequest::ListOffsetsTopic topic;
  topic.name = name;
  topic.partitions = {&partition, 1};
  protocol::ListOffsetsRequest request;
  request.replica_id = -1;
  request.topics = {&topic, 1};
  verifier_.call<protocol::ListOffsetsResponse>(7, request, [this, id, life = life_](const auto* response) {
    if (life != life_) return;
    if (!response) return fail_life("ListOffsets breaks off");
    const auto& result = response->topics[0].partitions[0];
    if (result.error_code != 0) return fail_life(fmt::format("ListOffsets got error {}", result.error_code));
    read_all(id, result.offset, std::make_shared<Oracle::Found>());
  });
}

void ServerScenario::read_all(const PartitionId& id, int64_t from, std::shared_ptr<Oracle::Found> found) {
  fetch(verifier_, id, from, [this, id, from, found, life = life_](const protocol::FetchResponse::PartitionData* data) {
    if (life != life_) return;
    if (!data) return fail_life("Fetch breaks off");
    if (data->error_code != 0) return fail_life(fmt::format("Fetch at {} got error {}", from, data->error_code));
    found->log_start = data->log_start_offset;
    found->high_watermark = data->high_watermark;
    std::string problem;
    if (!data->records.null && !collect_records(data->records.data, found->records, problem)) {
      return oracle_.violation("Fetch: " + problem);
    }
    const int64_t next = found->records.empty() ? from : std::max(from, found->records.rbegin()->first + 1);
    if (next < data->high_watermark && next > from) return read_all(id, next, found);
    if (next < data->high_watermark) return oracle_.violation(fmt::format("Fetch at {} is empty below {}", from, data->high_watermark));
    oracle_.found(name_of(id), *found);
    ranges_[id] = {found->log_start, found->high_watermark};
    --verifying_;
  });
}

}  // namespace

ScenarioFactory server_scenario(unsigned steps_per_client) {
  return [steps_per_client](SimRuntime& sim, Oracle& oracle, SeededRandom random) {
    return std::make_unique<ServerScenario>(sim, oracle, random, steps_per_client);
  };
}

}  // namespace weir::simulation
