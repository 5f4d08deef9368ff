#include "simulation/server_scenario.h"

#include <fmt/core.h>

#include <utility>

#include "protocol/errors.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_records.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/init_producer_id.h"
#include "simulation/server_world.h"

namespace weir::simulation {

using protocol::ErrorCode;
using storage::PartitionId;
using testing::SeededRandom;
using testing::SimRuntime;

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
  for (const auto& [key, value] :
       {std::pair{"listeners", "PLAINTEXT://0.0.0.0:9092"}, std::pair{"advertised.listeners", "PLAINTEXT://127.0.0.1:9092"},
        std::pair{"offsets.topic.num.partitions", "2"}, std::pair{"auto.create.topics.enable", "false"}}) {
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
  if (client.role == Client::kCommitter) return commit_offset(client);
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
  id = {living[random_.below(living.size())], static_cast<int32_t>(random_.below(kTopicPartitions))};
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
  const OutgoingBatch& batch = repeat ? client.producer->last() : client.producer->next(random_, oracle_, sim_.clock().wall_ms());
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
    client.producer->acked(result.base_offset, true, oracle_);
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

void ServerScenario::commit_offset(Client& client) {
  PartitionId id;
  if (!pick_partition(id)) return finish_step(client, false);
  const uint64_t group = random_.below(GroupOffsets::kGroups);
  offsets_.commit(client.connection, group, id, [this, &client, id](std::optional<ErrorCode> error) {
    if (error && GroupOffsets::retriable(*error)) {
      return GroupOffsets::find_coordinator(client.connection, [this, &client](auto) { finish_step(client, false); });
    }
    if (error && *error != ErrorCode::kNone && !(*error == ErrorCode::kUnknownTopicId && gone(id.topic))) {
      refused(client, "OffsetCommit", static_cast<int16_t>(*error));
    }
    finish_step(client, error.has_value());
  });
}

void ServerScenario::create_topic(Client& client) {
  const std::string name = "topic-" + std::to_string(next_name_++ % 5);
  creating_.insert(name);
  protocol::CreateTopicsRequest::CreatableTopic topic;
  topic.name = name;
  topic.num_partitions = kTopicPartitions;
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
  const PartitionId partition{id, static_cast<int32_t>(random_.below(kTopicPartitions))};
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

ScenarioFactory server_scenario(unsigned steps_per_client) {
  return [steps_per_client](SimRuntime& sim, Oracle& oracle, SeededRandom random) {
    return std::make_unique<ServerScenario>(sim, oracle, random, steps_per_client);
  };
}

}  // namespace weir::simulation
