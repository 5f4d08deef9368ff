// A broker with all its parts in simulation: shards, log on a simulated disk, metadata in memory, frontends with peers in
// memory. Tests send requests as clients do and look at the decoded answers.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "broker/broker.h"
#include "broker/config/broker_config.h"
#include "broker/coordinators/group_coordinators.h"
#include "broker/handlers/registration.h"
#include "broker/server/fake_socket.h"
#include "broker/server/frontend.h"
#include "protocol/api.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/produce.h"
#include "protocol/record_batch_builder.h"
#include "storage/log/log_recovery.h"
#include "storage/metadata/faulty_meta_store.h"
#include "storage/metadata/memory_meta_store.h"
#include "storage/segment/local_segment_store.h"
#include "storage/wal/local_wal_sessions.h"
#include "testing/sim_runtime.h"

namespace weir::broker {

// A decoded response with the memory it points into.
template <typename Response>
struct Answer {
  Answer() : arena(std::make_unique<protocol::Arena>()) {}
  std::unique_ptr<protocol::Arena> arena;
  std::string bytes;
  Response message;
  const Response* operator->() const { return &message; }
};

class BrokerTest : public ::testing::Test {
 protected:
  static constexpr unsigned kShards = 3;

  BrokerTest() : sim_(7, {.loops = kShards, .late_ends = 8}) {}

  void SetUp() override { start(); }
  void TearDown() override { stop(); }

  void set(const std::string& key, const std::string& value) { ASSERT_TRUE(config_.set(key, value)); }

  void start(bool unclean = false) {
    runtime_ = sim_.runtime();
    ASSERT_TRUE(sim_.disk().create_directories("/data"));
    auto store = storage::LocalSegmentStore::open(sim_.disk(), sim_.pool(), sim_.clock(), {.log_dir = "/data"});
    ASSERT_TRUE(store) << store.error().message;
    std::vector<storage::LocalSegmentStore::ExtraDirectory> extra;
    for (const std::string& path : more_dirs_) {
      ASSERT_TRUE(sim_.disk().create_directories(path));
      extra.push_back({path, Uuid::from_random(1, extra.size() + 1)});
    }
    ASSERT_TRUE((*store)->use_directories(extra));
    segments_ = std::move(*store);
    auto metadata = load_metadata(meta_, unclean, sim_.loop(0).random(), config_);
    ASSERT_TRUE(metadata) << metadata.error().message;
    storage::LogOptions options;
    options.log_dir = "/data";
    options.shard = shard_options_;
    options.shard.directories = segments_.get();
    wals_ = std::make_unique<storage::LocalWalSessions>(
        runtime_, *segments_,
        storage::LocalWalSettings{.log_dir = "/data", .incarnation = ++incarnation_, .file_bytes = 4 << 20});
    auto opened = storage::open_log(runtime_, *segments_, *wals_, options, metadata->deleted.lookup(*metadata->image));
    ASSERT_TRUE(opened) << opened.error().message;
    logs_ = std::move(opened->shards);
    std::vector<storage::LogShard*> logs;
    for (auto& log : logs_) logs.push_back(log.get());
    const auto placement = metadata->group_placement;
    broker_ = std::make_unique<Broker>(runtime_, logs, faulty_, budget_, config_, std::move(*metadata));
    groups_ = std::make_unique<GroupCoordinators>(*broker_, *runtime_.pool, faulty_, config_, placement);
    registry_ = std::make_unique<MetricsRegistry>(kShards);
    frontend_metrics_ = std::make_unique<FrontendMetrics>(*registry_);
    dispatcher_ = std::make_unique<Dispatcher>(*registry_);
    register_handlers(*dispatcher_, *broker_, *groups_);
    listener_.name = listener_.security_protocol = "PLAINTEXT";
    listener_.advertised = runtime::Endpoint{"broker.example", 9092};
    for (unsigned i = 0; i < kShards; ++i) {
      frontends_.push_back(
          std::make_unique<Frontend>(sim_.loop(i), *dispatcher_, budget_, limits_, *frontend_metrics_, FrontendOptions{}));
    }
  }

  void stop() {
    if (!broker_) return;
    bool stopped = false;
    broker_->stop([&] { stopped = true; });
    run_until([&] { return stopped; });
    sim_.run_for(runtime::kSecond);
    frontends_.clear();
    dispatcher_.reset();
    groups_.reset();
    broker_.reset();
    for (auto& log : logs_) log->quiesce([] {});
    sim_.run_for(runtime::kSecond);
    EXPECT_TRUE(storage::close_log(*wals_, logs_));
    logs_.clear();
    segments_.reset();
  }

  void restart(bool unclean) {
    stop();
    frontends_.clear();
    frontend_metrics_.reset();
    registry_.reset();
    start(unclean);
  }

  template <typename Predicate>
  void run_until(Predicate predicate, int64_t max_ns = 120 * runtime::kSecond) {
    sim_.run_until(predicate, max_ns);
    EXPECT_TRUE(predicate());
  }

  FakePeer& connect(unsigned shard) {
    FakePeer& peer = peers_.emplace_back();
    shard_of_peer_[&peer] = shard;
    frontends_[shard]->accept(std::make_unique<FakeSocket>(peer, "10.0.0.1"), listener_);
    return peer;
  }
  // Returns the connection to a shard that calls use if they name none.
  FakePeer& peer(unsigned shard) {
    if (!default_peers_[shard] || default_peers_[shard]->closed) default_peers_[shard] = &connect(shard);
    return *default_peers_[shard];
  }

  template <typename Request>
  void send(FakePeer& to, int16_t version, const Request& request, const std::string& client = "test") {
    protocol::Writer body;
    request.encode(body, version);
    ASSERT_TRUE(body.ok()) << body.error();
    sim_.loop(shard_of_peer_[&to]).post([&to, bytes = request_frame(Request::kApiKey, version, body.bytes(), client)] {
      to.send(bytes);
    });
  }
  // Makes a request with a correlation id of its own.
  std::string request_frame(int16_t key, int16_t version, Bytes body, const std::string& client = "test") {
    protocol::Writer writer;
    const size_t frame = writer.begin_frame();
    writer.i16(key);
    writer.i16(version);
    writer.i32(++correlation_);
    writer.nullable_string(client, false);
    if (protocol::request_header_version(static_cast<protocol::ApiKey>(key), version) >= 2) writer.uvarint(0);
    writer.append(body);
    writer.end_frame(frame);
    return std::string(as_string(writer.bytes()));
  }
  static bool has_response(const FakePeer& from) {
    if (from.received.size() < 4) return false;
    const auto size = static_cast<size_t>(load_be<int32_t>(reinterpret_cast<const uint8_t*>(from.received.data())));
    return from.received.size() >= 4 + size;
  }
  // Takes the next response. It must be there.
  template <typename Response>
  Answer<Response> take(FakePeer& from, int16_t version) {
    Answer<Response> answer;
    const auto size = static_cast<size_t>(load_be<int32_t>(reinterpret_cast<const uint8_t*>(from.received.data())));
    answer.bytes = from.received.substr(4, size);
    from.received.erase(0, 4 + size);
    protocol::Reader reader(as_bytes(answer.bytes), *answer.arena);
    reader.i32();
    const auto key = static_cast<protocol::ApiKey>(Response::kApiKey);
    if (protocol::response_header_version(key, version) >= 1) reader.uvarint();
    answer.message.decode(reader, version);
    EXPECT_TRUE(reader.ok() && reader.remaining().empty()) << (reader.ok() ? "bytes left over" : reader.error());
    return answer;
  }
  template <typename Response, typename Request>
  Answer<Response> call(FakePeer& to, int16_t version, const Request& request) {
    send(to, version, request);
    run_until([&] { return has_response(to) || to.closed; });
    EXPECT_FALSE(to.closed);
    if (to.closed) return {};
    return take<Response>(to, version);
  }
  template <typename Response, typename Request>
  Answer<Response> call(int16_t version, const Request& request) {
    return call<Response>(peer(0), version, request);
  }

  // Creates a topic, as most tests do first.
  TopicId create_topic(const std::string& name, int32_t partitions, ConfigOverrides configs = {}) {
    protocol::CreateTopicsRequest request;
    protocol::CreateTopicsRequest::CreatableTopic topic;
    topic.name = name;
    topic.num_partitions = partitions;
    topic.replication_factor = -1;
    std::vector<protocol::CreateTopicsRequest::CreatableTopicConfig> entries;
    for (const auto& [key, value] : configs) entries.push_back({key, value});
    topic.configs = entries;
    request.topics = {&topic, 1};
    const auto answer = call<protocol::CreateTopicsResponse>(7, request);
    EXPECT_EQ(answer->topics[0].error_code, 0) << answer->topics[0].error_message.value_or("");
    return answer->topics[0].topic_id;
  }
  static std::vector<uint8_t> batch(const std::vector<std::string>& values, const protocol::BatchOptions& options = {},
                                    int64_t timestamp = 1'735'689'600'000) {
    protocol::RecordBatchBuilder builder(options);
    for (const std::string& value : values) builder.append(timestamp++, as_bytes("key"), as_bytes(value));
    const Bytes bytes = builder.finish();
    return {bytes.begin(), bytes.end()};
  }
  Answer<protocol::ProduceResponse> produce(FakePeer& to, const std::string& topic, int32_t partition, Bytes records,
                                            int16_t acks = -1, int16_t version = 12) {
    protocol::ProduceRequest::PartitionProduceData data;
    data.index = partition;
    data.records.data = records;
    protocol::ProduceRequest::TopicProduceData topic_data;
    topic_data.name = topic;
    topic_data.partition_data = {&data, 1};
    protocol::ProduceRequest request;
    request.acks = acks;
    request.timeout_ms = 1000;
    request.topic_data = {&topic_data, 1};
    return call<protocol::ProduceResponse>(to, version, request);
  }
  Answer<protocol::ProduceResponse> produce(const std::string& topic, int32_t partition, const std::vector<std::string>& values) {
    return produce(peer(0), topic, partition, batch(values));
  }

  testing::SimRuntime sim_;
  runtime::Runtime runtime_;
  BrokerConfig config_;
  std::vector<std::string> more_dirs_;  // beside /data; before start()
  storage::LogShardOptions shard_options_;
  storage::MemoryMetaStore meta_;
  storage::FaultyMetaStore faulty_{meta_};
  MemoryBudget budget_{{64 << 20, 64 << 20, 64 << 20, 64 << 20, 64 << 20}};
  ConnectionLimits limits_{1000, 1000};
  uint64_t incarnation_ = 100;
  std::unique_ptr<storage::LocalSegmentStore> segments_;
  std::unique_ptr<storage::WalSessions> wals_;
  std::vector<std::unique_ptr<storage::LogShard>> logs_;
  std::unique_ptr<Broker> broker_;
  std::unique_ptr<GroupCoordinators> groups_;
  std::unique_ptr<MetricsRegistry> registry_;
  std::unique_ptr<FrontendMetrics> frontend_metrics_;
  std::unique_ptr<Dispatcher> dispatcher_;
  ListenerInfo listener_;
  std::vector<std::unique_ptr<Frontend>> frontends_;
  std::deque<FakePeer> peers_;
  std::map<FakePeer*, unsigned> shard_of_peer_;
  FakePeer* default_peers_[kShards] = {};
  int32_t correlation_ = 0;
};

}  // namespace weir::broker
