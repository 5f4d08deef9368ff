// A whole broker on a disk that fails: produce requests are refused with an error that clients retry, reads
// are served on, and a restart finds everything that was acknowledged.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <optional>

#include "apps/server.h"
#include "base/log.h"
#include "protocol/errors.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/produce.h"
#include "simulation/kafka_client.h"
#include "simulation/log_clients.h"

namespace weir::simulation {
namespace {

using protocol::ErrorCode;
using testing::DiskOperation;
using testing::SimRuntime;

class ServerOnABadDisk : public ::testing::Test {
 protected:
  ServerOnABadDisk() : sim_(7, SimRuntime::Options{.loops = 2}), client_(sim_.client_loop()) {
    set_log_level(LogLevel::kError);
    start();
    create_topic();
  }
  ~ServerOnABadDisk() override {
    client_.drop();
    sim_.end_server(testing::Death::kKill);
    server_.reset();
  }

  void start() {
    world_ = sim_.runtime();
    apps::ServerOptions options;
    options.data_dir = "/data";
    options.max_memory_bytes = 64 << 20;
    for (const auto& [key, value] :
         {std::pair{"listeners", "PLAINTEXT://0.0.0.0:9092"}, std::pair{"advertised.listeners", "PLAINTEXT://127.0.0.1:9092"}}) {
      ASSERT_TRUE(options.config.set(key, value));
    }
    auto server = apps::Server::start(world_, std::move(options));
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    bool ready = false;
    server_->when_ready([&](Result<void> done) { ready = done.has_value(); });
    run_until([&] { return ready; });
  }
  void restart(testing::Death death) {
    client_.drop();
    sim_.end_server(death);
    server_.reset();
    sim_.disk().clear_faults();
    sim_.start_server();
    start();
  }
  void run_until(const std::function<bool()>& condition) {
    ASSERT_EQ(sim_.run_until(condition, 60 * runtime::kSecond), SimRuntime::Stop::kDone);
  }

  void create_topic() {
    protocol::CreateTopicsRequest::CreatableTopic topic;
    topic.name = "records";
    topic.num_partitions = 1;
    topic.replication_factor = 1;
    protocol::CreateTopicsRequest request;
    request.topics = {&topic, 1};
    bool created = false;
    client_.call<protocol::CreateTopicsResponse>(7, request, [&](const auto* response) {
      ASSERT_TRUE(response && response->topics[0].error_code == 0);
      partition_ = {response->topics[0].topic_id, 0};
      created = true;
    });
    run_until([&] { return created; });
  }

  // Records that are acknowledged are noted.
  ErrorCode produce() {
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
    std::optional<ErrorCode> error;
    client_.call<protocol::ProduceResponse>(13, request, [&](const auto* response) {
      ASSERT_TRUE(response);
      const auto& result = response->responses[0].partition_responses[0];
      error = static_cast<ErrorCode>(result.error_code);
      for (size_t i = 0; *error == ErrorCode::kNone && i < batch.payloads.size(); ++i) {
        acked_[result.base_offset + static_cast<int64_t>(i)] = batch.payloads[i];
      }
    });
    run_until([&] { return error.has_value(); });
    return error.value_or(ErrorCode::kUnknownServerError);
  }

  void expect_all_acked_are_read() {
    std::map<int64_t, uint64_t> found;
    bool end = false;
    while (!end && !HasFailure()) {
      bool answered = false;
      protocol::FetchRequest::FetchPartition partition;
      partition.fetch_offset = found.empty() ? 0 : found.rbegin()->first + 1;
      partition.partition_max_bytes = 1 << 20;
      protocol::FetchRequest::FetchTopic topic;
      topic.topic_id = partition_.topic;
      topic.partitions = {&partition, 1};
      protocol::FetchRequest request;
      request.topics = {&topic, 1};
      client_.call<protocol::FetchResponse>(13, request, [&](const auto* response) {
        ASSERT_TRUE(response && response->error_code == 0 && response->responses.size() == 1);
        const auto& data = response->responses[0].partitions[0];
        ASSERT_EQ(data.error_code, 0);
        std::string problem;
        ASSERT_TRUE(data.records.null || collect_records(data.records.data, found, problem)) << problem;
        answered = true;
        end = found.empty() || found.rbegin()->first + 1 >= data.high_watermark;
      });
      run_until([&] { return answered; });
    }
    for (const auto& [offset, payload] : acked_) {
      ASSERT_TRUE(found.contains(offset)) << "offset " << offset << " was acknowledged and is lost";
      EXPECT_EQ(found[offset], payload);
    }
  }

  SimRuntime sim_;
  KafkaClient client_;
  testing::SeededRandom random_{1, 2};
  Oracle sent_;
  runtime::Runtime world_;
  std::unique_ptr<apps::Server> server_;
  storage::PartitionId partition_;
  std::map<int64_t, uint64_t> acked_;
};

TEST_F(ServerOnABadDisk, AFailedFlushRefusesUntilTheRestart) {
  for (int i = 0; i < 50; ++i) ASSERT_EQ(produce(), ErrorCode::kNone);
  sim_.disk().inject({.operation = DiskOperation::kDurableWriteEnd});
  EXPECT_EQ(produce(), ErrorCode::kKafkaStorageError);
  EXPECT_EQ(produce(), ErrorCode::kKafkaStorageError) << "the flush that failed was the only one that could";
  expect_all_acked_are_read();
  restart(testing::Death::kPowerCut);
  expect_all_acked_are_read();
  EXPECT_EQ(produce(), ErrorCode::kNone);
}

}  // namespace
}  // namespace weir::simulation
