#include "simulation/server_scenario.h"

#include <fmt/core.h>

#include <utility>

#include "protocol/errors.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_records.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/init_producer_id.h"
#include "simulation/server_world.h"

namespace weir::simulation {

using protocol::ErrorCode;
using storage::PartitionId;
using testing::SeededRandom;
using testing::SimRuntime;

ServerScenarioOptions::ServerScenarioOptions(DrawnOptions& drawn)
    : steps(drawn.one_of("steps", {25, 15, 40})),
      partitions(static_cast<int32_t>(drawn.one_of("partitions", {2, 1, 4}))),
      producers(drawn.one_of("producers", {3, 1, 5})),
      consumers(drawn.one_of("consumers", {1, 0, 3})),
      committers(drawn.one_of("committers", {1, 0, 3})),
      groups(drawn.one_of("groups", {1, 0, 2})),
      members(drawn.one_of("members", {2, 1, 4})),
      offsets_partitions(drawn.one_of("offsets.topic.num.partitions", {2, 1, 5})),
      segment_bytes(drawn.one_of("log.segment.bytes", {1 << 30, 1 << 20})),
      memory_bytes(drawn.one_of("weir.max.memory.bytes", {64 << 20, 48 << 20})),
      fetch_bytes(drawn.one_of("fetch.bytes", {40'000, 1'000, 400'000})),
      slow_readers(drawn.feature("slow-readers")),
      member_crashes(drawn.feature("member-crashes")),
      members_leave(drawn.feature("members-leave")),
      alter_configs(drawn.feature("alter-configs")) {}

void ServerScenario::make_clients() {
  const auto add = [this](typename Client::Role role, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) clients_.push_back(std::make_unique<Client>(sim_.client_loop(), role, i));
  };
  add(Client::kProducer, options_.producers);
  add(Client::kConsumer, options_.consumers);
  add(Client::kAdministrator, 1);
  add(Client::kCommitter, options_.committers);
  for (const auto& client : clients_) {
    client->connection.set_timeout(faults_.timeout_ns());
    if (client->role == Client::kConsumer) client->connection.read_slowly(options_.slow_readers);
  }
  const MemberOptions member{
      .timeout_ns = faults_.timeout_ns(), .crashes = options_.member_crashes, .leaves = options_.members_leave};
  for (uint64_t i = 0; i < options_.groups; ++i) {
    groups_.push_back(std::make_unique<ConsumerGroup>(oracle_, "members-" + std::to_string(i), options_.partitions));
    for (uint64_t k = 0; k < options_.members; ++k) {
      const SeededRandom random(sim_.seed(), 70 + i * 10 + k);
      members_.emplace_back(groups_.back().get(),
                            std::make_unique<GroupMember>(sim_.client_loop(), *groups_.back(), random, member,
                                                          [this] { return ready_ ? group_topic() : std::nullopt; }));
      members_.back().second->start();
    }
  }
}

std::optional<Uuid> ServerScenario::group_topic() const {
  for (const auto& [id, topic] : topics_) {
    if (topic.name == kGroupTopic) return id;
  }
  return std::nullopt;
}

void ServerScenario::start() {
  failure_.clear();
  ++life_;
  // No request to the last life may reach this one while it is being judged.
  for (const auto& client : clients_) client->connection.drop();
  for (const auto& [group, member] : members_) member->drop();
  verifier_.drop();
  world_ = sim_.runtime();
  apps::ServerOptions options;
  options.data_dir = "/data";
  options.max_memory_bytes = options_.memory_bytes;
  for (const auto& [key, value] :
       {std::pair{"listeners", "PLAINTEXT://0.0.0.0:9092"}, std::pair{"advertised.listeners", "PLAINTEXT://127.0.0.1:9092"},
        std::pair{"auto.create.topics.enable", "false"}, std::pair{"group.min.session.timeout.ms", "100"},
        std::pair{"group.initial.rebalance.delay.ms", "20"},
        // The broker's clock may be off.
        std::pair{"log.message.timestamp.after.max.ms", "9223372036854775807"}}) {
    if (auto set = options.config.set(key, value); !set) return fail_life(set.error().message);
  }
  for (const auto& [key, value] : {std::pair{"offsets.topic.num.partitions", options_.offsets_partitions},
                                   std::pair{"log.segment.bytes", options_.segment_bytes}}) {
    if (auto set = options.config.set(key, std::to_string(value)); !set) return fail_life(set.error().message);
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
  if (client.life != life_) return;  // an answer of a server that is dead
  const auto code = static_cast<ErrorCode>(error);
  if (code == ErrorCode::kKafkaStorageError && faults_.of_disk()) return;
  if (code == ErrorCode::kKafkaStorageError || code == ErrorCode::kCoordinatorLoadInProgress) {
    return fail_life(fmt::format("{} got error {}", what, error));
  }
  oracle_.violation(fmt::format("{} got error {}", what, error));
}

// --- The workload

void ServerScenario::work() {
  working_ = true;
  calming_ = calm_ = false;
  faults_.begin();
  for (const auto& client : clients_) {
    client->steps_left = options_.steps;
    if (!client->busy) step(*client);
  }
}

bool ServerScenario::worked() {
  for (const auto& client : clients_) {
    if (client->busy || client->steps_left > 0) return false;
  }
  if (!std::exchange(calming_, true)) {
    faults_.end();
    calm_ = !faults_.of_network();
    if (!calm_) sim_.client_loop().schedule_after(runtime::kSecond, [this, life = life_] { calm_ |= life == life_; });
  }
  if (calm_) working_ = false;
  return calm_;
}

void ServerScenario::settle() {
  settling_ = true;
  producers_done_ns_ = -1;
  for (const auto& client : clients_) {
    if (!client->busy && unfinished(*client)) step(*client);
  }
}

bool ServerScenario::settled() {
  for (const auto& client : clients_) {
    if (client->busy || unfinished(*client)) return false;
  }
  if (producers_done_ns_ < 0) {
    producers_done_ns_ = sim_.now_ns();
    for (const auto& [group, member] : members_) member->settle(producers_done_ns_);
  }
  if (!group_topic()) return true;
  std::map<const ConsumerGroup*, std::pair<std::set<int32_t>, std::string>> stable;
  for (const auto& [group, member] : members_) {
    if (!member->settled()) return false;
    stable[group].first.insert(member->generation());
    stable[group].second += member->assignment();
  }
  for (const auto& [group, state] : stable) {
    if (state.first.size() != 1 || state.second.size() != static_cast<size_t>(group->partitions())) return false;
  }
  if (!stable.empty()) oracle_.happened(kGroupsSettled);
  return true;
}

void ServerScenario::finish_step(Client& client, bool answered) {
  client.busy = false;
  if (settling_ && !unfinished(client)) return;
  if (!settling_ && (!working_ || client.steps_left == 0)) return;
  if (answered) return step(client);
  client.busy = true;
  sim_.client_loop().schedule_after(kRetryNs, [this, &client] {
    client.busy = false;
    if (working_ || settling_) step(client);
  });
}

void ServerScenario::step(Client& client) {
  if (!settling_) --client.steps_left;
  client.life = life_;
  client.busy = true;
  if (client.role == Client::kProducer) return produce(client);
  if (client.role == Client::kConsumer) return consume(client);
  if (client.role == Client::kCommitter) return commit_offset(client);
  if (topics_.size() < 2 || random_.one_in(4)) return create_topic(client);
  auto chosen = topics_.begin();
  std::advance(chosen, random_.below(topics_.size()));
  if (options_.alter_configs && random_.one_in(3)) return alter_topic(client, chosen->first);
  if (chosen->second.name == kGroupTopic) return finish_step(client, true);
  if (topics_.size() > 2 && random_.one_in(3)) return delete_topic(client, chosen->first);
  delete_records(client, chosen->first);
}

bool ServerScenario::pick_partition(PartitionId& id) {
  std::vector<Uuid> living;
  for (const auto& [topic, state] : topics_) {
    if (!state.deleting) living.push_back(topic);
  }
  if (living.empty()) return false;
  id = {living[random_.below(living.size())], static_cast<int32_t>(random_.below(static_cast<uint64_t>(options_.partitions)))};
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
  partition.partition_max_bytes = static_cast<int32_t>(options_.fetch_bytes);
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
  const bool look = offsets_.last_commit() && !gone(offsets_.last_commit()->partition.topic) && random_.one_in(3);
  if (look) id = offsets_.last_commit()->partition;
  uint64_t group = look ? offsets_.last_commit()->group : random_.below(GroupOffsets::kGroups);
  // Nobody knows the order of two commits that are under way. So only one client commits to each group.
  while (!look && group % options_.committers != client.number) group = random_.below(GroupOffsets::kGroups);
  auto done = [this, &client, id](std::optional<ErrorCode> error) {
    if (error && GroupOffsets::retriable(*error)) {
      return GroupOffsets::find_coordinator(client.connection, [this, &client](auto) { finish_step(client, false); });
    }
    if (error && *error != ErrorCode::kNone && !(*error == ErrorCode::kUnknownTopicId && gone(id.topic))) {
      refused(client, "OffsetCommit", static_cast<int16_t>(*error));
    }
    finish_step(client, error.has_value());
  };
  look ? offsets_.look(client.connection, group, id, std::move(done))
       : offsets_.commit(client.connection, group, id, std::move(done));
}

void ServerScenario::create_topic(Client& client) {
  // A late request may meet another topic of the same name. With network faults every name is new.
  const uint64_t number = faults_.of_network() ? next_name_++ : next_name_++ % 5;
  const bool grouped = options_.groups > 0 && !group_topic() && (!creating_.contains(kGroupTopic) || random_.one_in(2));
  const std::string name = grouped ? kGroupTopic : "topic-" + std::to_string(number);
  creating_.insert(name);
  protocol::CreateTopicsRequest::CreatableTopic topic;
  topic.name = name;
  topic.num_partitions = options_.partitions;
  topic.replication_factor = 1;
  protocol::CreateTopicsRequest request;
  request.topics = {&topic, 1};
  client.connection.call<protocol::CreateTopicsResponse>(7, request, [this, &client, name](const auto* response) {
    if (!response) return finish_step(client, false);
    const auto& result = response->topics[0];
    if (!faults_.of_network()) creating_.erase(name);
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

void ServerScenario::alter_topic(Client& client, const Uuid& id) {
  const std::string name = topics_.at(id).name;
  if (topics_.at(id).deleting) return finish_step(client, true);
  const std::string value = std::to_string(random_.between(30, 60) * 86'400'000);
  oracle_.value_requested(kRetention + id.to_string(), value);
  protocol::IncrementalAlterConfigsRequest::AlterableConfig config;
  config.name = "retention.ms";
  config.value = value;
  protocol::IncrementalAlterConfigsRequest::AlterConfigsResource resource;
  resource.resource_type = kTopicResource;
  resource.resource_name = name;
  resource.configs = {&config, 1};
  protocol::IncrementalAlterConfigsRequest request;
  request.resources = {&resource, 1};
  client.connection.call<protocol::IncrementalAlterConfigsResponse>(1, request, [this, &client, id, value](const auto* response) {
    if (!response) return finish_step(client, false);
    const int16_t error = response->responses[0].error_code;
    if (error == 0) oracle_.value_acked(kRetention + id.to_string(), value);
    if (error != 0 && !gone(id)) refused(client, "IncrementalAlterConfigs", error);
    finish_step(client, true);
  });
}

void ServerScenario::delete_topic(Client& client, const Uuid& id) {
  const bool again = std::exchange(topics_[id].deleting, true);
  oracle_.topic_delete_requested(id);
  offsets_.topic_may_go(id, options_.partitions);
  protocol::DeleteTopicsRequest::DeleteTopicState topic;
  topic.topic_id = id;
  protocol::DeleteTopicsRequest request;
  request.topics = {&topic, 1};
  request.timeout_ms = 30'000;
  client.connection.call<protocol::DeleteTopicsResponse>(6, request, [this, &client, id, again](const auto* response) {
    if (!response) return finish_step(client, false);
    const int16_t error = response->responses[0].error_code;
    if (error == 0 || (again && error == static_cast<int16_t>(ErrorCode::kUnknownTopicId))) {
      oracle_.topic_deleted(id);
      topics_.erase(id);
    } else {
      refused(client, "DeleteTopics", error);
    }
    finish_step(client, true);
  });
}

void ServerScenario::delete_records(Client& client, const Uuid& id) {
  const PartitionId partition{id, static_cast<int32_t>(random_.below(static_cast<uint64_t>(options_.partitions)))};
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

ScenarioFactory server_scenario() {
  return [](SimRuntime& sim, Oracle& oracle, SeededRandom random, DrawnOptions& options) {
    return std::make_unique<ServerScenario>(sim, oracle, random, options);
  };
}

}  // namespace weir::simulation
