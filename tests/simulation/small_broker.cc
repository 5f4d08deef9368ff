#include "simulation/small_broker.h"

#include <fmt/core.h>

#include <optional>
#include <utility>
#include <vector>

#include "protocol/messages/create_topics.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/produce.h"

namespace weir::simulation {

using protocol::ErrorCode;
using testing::SimRuntime;

SmallBroker::SmallBroker(SimRuntime& sim, unsigned machine, uint16_t port)
    : sim_(sim), machine_(machine), port_(port), client_(sim.client_loop(), port), random_(sim.seed(), 80 + machine) {
  start();
  protocol::CreateTopicsRequest::CreatableTopic topic;
  topic.name = "records";
  topic.num_partitions = 1;
  topic.replication_factor = 1;
  protocol::CreateTopicsRequest request;
  request.topics = {&topic, 1};
  bool created = false;
  client_.call<protocol::CreateTopicsResponse>(7, request, [&](const auto* response) {
    WEIR_CHECK(response && response->topics[0].error_code == 0);
    partition_ = {response->topics[0].topic_id, 0};
    created = true;
  });
  WEIR_CHECK(run_until([&] { return created; }));
}

SmallBroker::~SmallBroker() {
  client_.drop();
  if (serves()) kill(testing::Death::kKill);
}

void SmallBroker::start() {
  world_ = sim_.runtime(machine_);
  apps::ServerOptions options;
  options.data_dir = "/data";
  options.max_memory_bytes = 64 << 20;
  for (const auto& [key, value] : {std::pair{"listeners", fmt::format("PLAINTEXT://0.0.0.0:{}", port_)},
                                   std::pair{"advertised.listeners", fmt::format("PLAINTEXT://127.0.0.1:{}", port_)}}) {
    WEIR_CHECK(options.config.set(key, value).has_value());
  }
  auto server = apps::Server::start(world_, std::move(options));
  WEIR_CHECK(server.has_value());
  server_ = std::move(*server);
  bool ready = false;
  server_->when_ready([&](Result<void> done) { ready = done.has_value(); });
  WEIR_CHECK(run_until([&] { return ready; }));
}

void SmallBroker::kill(testing::Death death) {
  client_.drop();
  sim_.end_server(death, machine_);
  server_.reset();
  sim_.disk(machine_).clear_faults();
  sim_.start_server(machine_);
}

bool SmallBroker::run_until(const std::function<bool()>& condition) {
  const auto stop = sim_.run_until(condition, 60 * runtime::kSecond);
  WEIR_CHECK(stop == SimRuntime::Stop::kDone || stop == SimRuntime::Stop::kDied);
  return stop == SimRuntime::Stop::kDone;
}

std::optional<ErrorCode> SmallBroker::produce() {
  struct Outcome {
    bool answered = false;
    std::optional<ErrorCode> error;
  };
  // The answer may come after a death, when this call has returned.
  const auto outcome = std::make_shared<Outcome>();
  const OutgoingBatch batch = LogProducer::plain(partition_, random_, sent_, sim_.clock().wall_ms());
  std::vector<uint8_t> bytes = batch.bytes;
  protocol::ProduceRequest::PartitionProduceData data;
  data.records.data = bytes;
  protocol::ProduceRequest::TopicProduceData topic;
  topic.topic_id = partition_.topic;
  topic.partition_data = {&data, 1};
  protocol::ProduceRequest request;
  request.acks = -1;
  request.timeout_ms = 30'000;
  request.topic_data = {&topic, 1};
  client_.call<protocol::ProduceResponse>(13, request, [this, outcome, payloads = batch.payloads](const auto* response) {
    outcome->answered = true;
    if (!response) return;
    const auto& result = response->responses[0].partition_responses[0];
    outcome->error = static_cast<ErrorCode>(result.error_code);
    for (size_t i = 0; *outcome->error == ErrorCode::kNone && i < payloads.size(); ++i) {
      acked_[result.base_offset + static_cast<int64_t>(i)] = payloads[i];
    }
  });
  if (!run_until([&] { return outcome->answered; })) return std::nullopt;
  return outcome->error;
}

std::string SmallBroker::missing() {
  std::map<int64_t, uint64_t> found;
  for (bool end = false; !end;) {
    bool answered = false;
    std::string problem;
    protocol::FetchRequest::FetchPartition partition;
    partition.fetch_offset = found.empty() ? 0 : found.rbegin()->first + 1;
    partition.partition_max_bytes = 1 << 20;
    protocol::FetchRequest::FetchTopic topic;
    topic.topic_id = partition_.topic;
    topic.partitions = {&partition, 1};
    protocol::FetchRequest request;
    request.topics = {&topic, 1};
    client_.call<protocol::FetchResponse>(13, request, [&](const auto* response) {
      answered = true;
      if (!response || response->error_code != 0 || response->responses.size() != 1) {
        problem = "no answer to a fetch";
        return;
      }
      const auto& result = response->responses[0].partitions[0];
      if (result.error_code != 0) problem = fmt::format("fetch error {}", result.error_code);
      if (!result.records.null) collect_records(result.records.data, found, problem);
      end = found.empty() || found.rbegin()->first + 1 >= result.high_watermark;
    });
    if (!run_until([&] { return answered; })) return "a machine died";
    if (!problem.empty()) return problem;
  }
  for (const auto& [offset, payload] : acked_) {
    if (!found.contains(offset)) return fmt::format("offset {} was acknowledged and is lost", offset);
    if (found[offset] != payload) return fmt::format("offset {} holds another record", offset);
  }
  return {};
}

}  // namespace weir::simulation
