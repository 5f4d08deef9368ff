// Fetch as consumers see it: limits, long polls over shards, leader epochs, memory. Sessions: fetch_sessions_test.cc.
#include <gmock/gmock.h>

#include "broker/handlers/fetch_fixture.h"
#include "broker/handlers/fetch_operation.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/delete_topics.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;
using protocol::FetchRequest;
using protocol::FetchResponse;

TEST_F(FetchTest, ReturnsWholeBatchesFromTheMiddleOfOne) {
  create_topic("t", 1);
  produce("t", 0, {"a", "b", "c"});
  produce("t", 0, {"d"});
  const auto all = fetch({{"t", 0, 1}});
  EXPECT_EQ(offsets(partition(all)), (std::vector<int64_t>{0, 3}));
  EXPECT_EQ(partition(all).high_watermark, 4);
  EXPECT_EQ(partition(all).last_stable_offset, 4);
  EXPECT_EQ(partition(all).log_start_offset, 0);
  EXPECT_FALSE(partition(all).aborted_transactions.has_value());
  EXPECT_EQ(offsets(partition(fetch({{"t", 0, 3}}))), (std::vector<int64_t>{3}));
  const auto end = fetch({{"t", 0, 4}});
  EXPECT_EQ(error(end), ErrorCode::kNone);
  EXPECT_FALSE(partition(end).records.null);
  EXPECT_TRUE(offsets(partition(end)).empty());
  EXPECT_EQ(error(fetch({{"t", 0, 5}})), ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(partition(fetch({{"t", 0, 5}})).high_watermark, -1);
  EXPECT_EQ(error(fetch({{"t", 0, -1}})), ErrorCode::kOffsetOutOfRange);
}

TEST_F(FetchTest, RecordsAreTheBytesProducedButForOffsets) {
  create_topic("t", 1);
  auto sent = batch({"a", "b"});
  produce("t", 0, {"first"});
  produce(peer(0), "t", 0, sent);
  protocol::patch_base_offset(sent.data(), 1);
  protocol::patch_leader_epoch(sent.data(), 0);
  const auto answer = fetch({{"t", 0, 1}});
  EXPECT_EQ(as_string(partition(answer).records.data), as_string(sent));
}

TEST_F(FetchTest, LimitsKeepOneWholeBatch) {
  create_topic("t", 4);
  const std::string big(10'000, 'x');
  for (int32_t p = 0; p < 4; ++p) {
    produce("t", p, {big});
    produce("t", p, {big});
  }
  EXPECT_EQ(offsets(partition(fetch({{"t", 0, 0, 1}}))).size(), 1u);  // partition_max_bytes 1
  auto& limited = request({{"t", 0}, {"t", 1}, {"t", 2}, {"t", 3}});
  limited.max_bytes = 35'000;
  const auto answer = call<FetchResponse>(peer(0), 12, limited);
  size_t batches = 0, bytes = 0;
  for (const auto& topic : answer->responses) {
    for (const auto& data : topic.partitions) {
      batches += offsets(data).size();
      bytes += data.records.data.size();
    }
  }
  EXPECT_EQ(batches, 3u);
  EXPECT_LE(bytes, 35'000u);
  EXPECT_EQ(offsets(answer->responses[0].partitions[0]).size(), 2u);  // in the order asked
  limited.max_bytes = 0;
  EXPECT_EQ(offsets(partition(call<FetchResponse>(peer(0), 12, limited))).size(), 1u);
}

TEST_F(FetchTest, ABatchAboveItsPartitionsLimitIsSentOnceInAllNotOnceAShard) {
  create_topic("t", 6);
  for (int32_t p = 1; p < 6; ++p) produce("t", p, {"x"});
  std::vector<Ask> asks;
  for (int32_t p = 0; p < 6; ++p) asks.push_back({"t", p, 0, 1});
  const auto answer = fetch(asks);
  for (int32_t p = 0; p < 6; ++p) {
    EXPECT_EQ(offsets(answer->responses[0].partitions[static_cast<size_t>(p)]).size(), p == 1 ? 1u : 0u) << p;
  }
}

TEST_F(FetchTest, APartitionThatIsRefusedHasNoAbortedTransactionsNotNull) {
  create_topic("t", 1);
  const auto answer = fetch({{"t", 7, 0}, {"t", 0, 99}});
  EXPECT_EQ(partition(answer, 0, 0).error_code, code(ErrorCode::kUnknownTopicOrPartition));
  EXPECT_TRUE(partition(answer, 0, 0).aborted_transactions.has_value());
  EXPECT_EQ(partition(answer, 0, 1).error_code, code(ErrorCode::kOffsetOutOfRange));
  EXPECT_FALSE(partition(answer, 0, 1).aborted_transactions.has_value());
}

TEST_F(FetchTest, APartitionNamedTwiceIsAnsweredOnceForTheLast) {
  create_topic("t", 2);
  for (int i = 0; i < 3; ++i) produce("t", 1, {"x"});
  const auto answer = fetch({{"t", 1, 0}, {"t", 0}, {"t", 1, 2}});
  ASSERT_EQ(answer->responses.size(), 1u);
  ASSERT_EQ(answer->responses[0].partitions.size(), 2u);
  EXPECT_EQ(partition(answer, 0, 1).partition_index, 1);
  EXPECT_EQ(offsets(partition(answer, 0, 1)), (std::vector<int64_t>{2}));
}

TEST_F(FetchTest, LongPollIsWokenByAnyShard) {
  create_topic("t", 9);
  for (int32_t p = 0; p < 9; ++p) {
    std::vector<Ask> asks;
    for (int32_t i = 0; i < 9; ++i) asks.push_back({"t", i, i < p ? 1 : 0});
    FakePeer& consumer = peer(static_cast<unsigned>(p) % kShards);
    send(consumer, 12, request(asks, 30'000));
    sim_.run_for(runtime::kSecond);
    EXPECT_FALSE(has_response(consumer));
    const int64_t before = sim_.now_ns();
    FakePeer& producer = connect(1);
    produce(producer, "t", p, batch({"wake"}));
    run_until([&] { return has_response(consumer); });
    EXPECT_LT(sim_.now_ns() - before, runtime::kSecond);
    const auto answer = take<FetchResponse>(consumer, 12);
    EXPECT_EQ(offsets(answer->responses[0].partitions[static_cast<size_t>(p)]), (std::vector<int64_t>{0}));
  }
}

TEST_F(FetchTest, ManyPartitionsAreReadAndWaitedForInSlices) {
  constexpr int32_t kMany = 1500;
  create_topic("t", kMany);
  std::vector<Ask> asks;
  for (int32_t i = 0; i < kMany; ++i) asks.push_back({"t", i});
  // Reads of partitions by shard, checked in every turn.
  std::vector<uint64_t> seen(kShards), most(kShards);
  bool over = false;
  std::function<void(unsigned)> look = [&](unsigned shard) {
    uint64_t reads = 0;
    logs_[shard]->for_each([&](const storage::Partition& one) { reads += one.traffic().fetch_requests; });
    most[shard] = std::max(most[shard], reads - std::exchange(seen[shard], reads));
    if (!over) sim_.loop(shard).post([&look, shard] { look(shard); });
  };
  for (unsigned shard = 0; shard < kShards; ++shard) sim_.loop(shard).post([&look, shard] { look(shard); });
  send(peer(0), 12, request(asks, 30'000));
  run_until([&] { return broker_->shard(0).waiting_fetches == 1; });
  EXPECT_FALSE(has_response(peer(0)));
  for (const int32_t wakes : {0, 700, kMany - 1}) {
    produce(connect(1), "t", wakes, batch({"wake"}));
    run_until([&] { return has_response(peer(0)); });
    const auto answer = take<FetchResponse>(peer(0), 12);
    ASSERT_EQ(answer->responses[0].partitions.size(), size_t{kMany});
    EXPECT_EQ(offsets(answer->responses[0].partitions[static_cast<size_t>(wakes)]), (std::vector<int64_t>{0}));
    asks[static_cast<size_t>(wakes)].offset = 1;
    send(peer(0), 12, request(asks, 30'000));
  }
  // A wake between the slices in which a fetch begins to wait is not missed.
  produce(connect(2), "t", 5, batch({"wake"}));
  run_until([&] { return has_response(peer(0)); });
  over = true;
  for (unsigned shard = 0; shard < kShards; ++shard) {
    EXPECT_GT(seen[shard], 6 * FetchOperation::kPartitionsPerTurn);
    EXPECT_LE(most[shard], FetchOperation::kPartitionsPerTurn);
  }
  // No fetch waits any more.
  sim_.run_for(runtime::kSecond);
}

TEST_F(FetchTest, LongPollEndsAtItsTime) {
  create_topic("t", 3);
  const int64_t before = sim_.now_ns();
  const auto answer = fetch({{"t", 0}, {"t", 1}, {"t", 2}}, 400);
  EXPECT_GE(sim_.now_ns() - before, 400 * runtime::kMillisecond);
  EXPECT_LT(sim_.now_ns() - before, 500 * runtime::kMillisecond);
  EXPECT_EQ(answer->responses[0].partitions.size(), 3u);
}

TEST_F(FetchTest, WaitsForMinBytes) {
  create_topic("t", 2);
  FakePeer& consumer = peer(2);
  send(consumer, 12, request({{"t", 0}, {"t", 1}}, 20'000, 1000));
  produce("t", 0, {std::string(300, 'a')});
  produce("t", 1, {std::string(300, 'a')});
  sim_.run_for(runtime::kSecond);
  EXPECT_FALSE(has_response(consumer));
  produce("t", 0, {std::string(400, 'a')});
  run_until([&] { return has_response(consumer); }, runtime::kSecond);
  const auto answer = take<FetchResponse>(consumer, 12);
  EXPECT_EQ(offsets(answer->responses[0].partitions[0]).size(), 2u);
}

TEST_F(FetchTest, LongPollEndsWithTheTopicAndWithTheBroker) {
  create_topic("gone", 2);
  create_topic("t", 1);
  FakePeer& consumer = peer(1);
  send(consumer, 13, request({{"gone", 0}, {"gone", 1}}, 60'000));
  sim_.run_for(runtime::kSecond);
  std::string_view name = "gone";
  protocol::DeleteTopicsRequest remove;
  remove.topic_names = {&name, 1};
  call<protocol::DeleteTopicsResponse>(5, remove);
  run_until([&] { return has_response(consumer); }, runtime::kSecond);
  take<FetchResponse>(consumer, 13);
  send(consumer, 13, request({{"t", 0}}, 60'000));
  sim_.run_for(runtime::kSecond);
  bool stopped = false;
  broker_->stop([&] { stopped = true; });
  run_until([&] { return stopped && has_response(consumer); }, runtime::kSecond);
}

TEST_F(FetchTest, LongPollOfAClosedConnectionIsGivenUp) {
  create_topic("t", 1);
  FakePeer& consumer = connect(1);
  send(consumer, 12, request({{"t", 0}}, 2'000'000'000));
  sim_.run_for(runtime::kSecond);
  EXPECT_EQ(broker_->shard(1).on_stop.size(), 1u);
  sim_.loop(1).post([&] { consumer.finish(); });
  sim_.run_for(10 * runtime::kSecond);
  EXPECT_EQ(broker_->shard(1).on_stop.size(), 0u);
}

TEST_F(FetchTest, UnknownTopicsAndReplicas) {
  create_topic("t", 1);
  EXPECT_EQ(error(fetch({{"absent", 0}}, 500)), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(error(fetch({{"t", 1}}, 500)), ErrorCode::kUnknownTopicOrPartition);
  auto& by_id = request({{"absent", 0}}, 500);
  requests_.back().topics[0].topic_id = Uuid::from_random(3, 3);
  EXPECT_EQ(error(call<FetchResponse>(peer(0), 13, by_id)), ErrorCode::kUnknownTopicId);
  auto& replica = request({{"t", 0}}, 500);
  replica.replica_id = 5;
  EXPECT_EQ(error(call<FetchResponse>(peer(0), 12, replica)), ErrorCode::kNotLeaderOrFollower);
}

TEST_F(FetchTest, LeaderEpochs) {
  create_topic("t", 1);
  produce("t", 0, {"a", "b"});
  restart(true);
  produce("t", 0, {"c"});
  EXPECT_EQ(error(fetch({{"t", 0, 0, 1 << 20, 0}})), ErrorCode::kFencedLeaderEpoch);
  EXPECT_EQ(error(fetch({{"t", 0, 0, 1 << 20, 2}})), ErrorCode::kUnknownLeaderEpoch);
  EXPECT_EQ(error(fetch({{"t", 0, 0, 1 << 20, 1}})), ErrorCode::kNone);
  auto& fenced = request({{"t", 0, 0, 1 << 20, 0}});
  const auto told = call<FetchResponse>(peer(0), 16, fenced);
  EXPECT_EQ(partition(told).current_leader.leader_epoch, 1);
  EXPECT_EQ(told->node_endpoints[0].host, "broker.example");
  // A client that read offset 3 in epoch 0, which ended at 2.
  const auto diverged = fetch({{"t", 0, 3, 1 << 20, 1, 0}}, 5000);
  EXPECT_EQ(partition(diverged).diverging_epoch.epoch, 0);
  EXPECT_EQ(partition(diverged).diverging_epoch.end_offset, 2);
  EXPECT_TRUE(partition(diverged).records.data.empty());
  EXPECT_EQ(offsets(partition(fetch({{"t", 0, 2, 1 << 20, 1, 0}}))), (std::vector<int64_t>{2}));
}

TEST_F(FetchTest, ReadsCheckpointedDataFromSegmentsOnEveryShard) {
  shard_options_.tail_cache_bytes = 0;
  restart(false);
  create_topic("t", 6);
  for (int round = 0; round < 3; ++round) {
    for (int32_t p = 0; p < 6; ++p) produce("t", p, {std::string(3000, static_cast<char>('a' + round))});
  }
  size_t checkpointed = 0;
  for (auto& log : logs_) log->checkpoint_all([&](Result<void> result) { checkpointed += result ? 1 : 0; });
  run_until([&] { return checkpointed == logs_.size(); });
  produce("t", 0, {"in the tail"});
  std::vector<Ask> asks;
  for (int32_t p = 0; p < 6; ++p) asks.push_back({"t", p});
  const auto answer = fetch(asks);
  for (size_t p = 0; p < 6; ++p) {
    EXPECT_EQ(offsets(answer->responses[0].partitions[p]), (std::vector<int64_t>{0, 1, 2})) << p;
  }
  EXPECT_EQ(offsets(partition(fetch({{"t", 0, 2}}))).front(), 2);
  EXPECT_EQ(offsets(partition(fetch({{"t", 0, 3}}))), (std::vector<int64_t>{3}));
}

TEST_F(FetchTest, WaitsForMemoryOfReaders) {
  create_topic("t", 1);
  for (int i = 0; i < 4; ++i) produce("t", 0, {std::string(10'000, 'x')});
  auto all = budget_.try_reserve(MemoryShare::kResponses, budget_.limit(MemoryShare::kResponses));
  ASSERT_TRUE(all);
  FakePeer& consumer = peer(1);
  send(consumer, 12, request({{"t", 0}}));
  sim_.run_for(runtime::kSecond);
  EXPECT_FALSE(has_response(consumer));
  EXPECT_EQ(budget_.waiting(MemoryShare::kResponses), 1u);
  all.reset();
  run_until([&] { return has_response(consumer); });
  EXPECT_EQ(offsets(partition(take<FetchResponse>(consumer, 12))).size(), 4u);
  sim_.run_for(runtime::kSecond);
  EXPECT_EQ(budget_.used(MemoryShare::kResponses), 0u);
}

TEST_F(FetchTest, OneAnswerOfAConnectionHoldsMemory) {
  create_topic("t", 1);
  for (int i = 0; i < 4; ++i) produce("t", 0, {std::string(10'000, 'x')});
  auto all = budget_.try_reserve(MemoryShare::kResponses, budget_.limit(MemoryShare::kResponses));
  ASSERT_TRUE(all);
  FakePeer& consumer = peer(1);
  for (int i = 0; i < 3; ++i) send(consumer, 12, request({{"t", 0}}));
  sim_.run_for(runtime::kSecond);
  EXPECT_EQ(budget_.waiting(MemoryShare::kResponses), 1u);
  all.reset();
  for (int i = 0; i < 3; ++i) {
    run_until([&] { return has_response(consumer); });
    EXPECT_EQ(offsets(partition(take<FetchResponse>(consumer, 12))).size(), 4u);
  }
  sim_.run_for(runtime::kSecond);
  EXPECT_EQ(budget_.used(MemoryShare::kResponses), 0u);
}

TEST_F(FetchTest, ClosedWhileFetchesWaitForTheirTurn) {
  create_topic("t", 1);
  produce("t", 0, {std::string(10'000, 'x')});
  auto all = budget_.try_reserve(MemoryShare::kResponses, budget_.limit(MemoryShare::kResponses));
  ASSERT_TRUE(all);
  FakePeer& consumer = peer(1);
  for (int i = 0; i < 3; ++i) send(consumer, 12, request({{"t", 0}}));
  sim_.run_for(runtime::kSecond);
  consumer.finish();
  sim_.run_for(runtime::kSecond);
  all.reset();
  sim_.run_for(runtime::kSecond);
  EXPECT_EQ(budget_.waiting(MemoryShare::kResponses), 0u);
  EXPECT_EQ(budget_.used(MemoryShare::kResponses), 0u);
}

// A long poll may be as long as the client likes. It must not keep memory from other requests for so long.
TEST_F(FetchTest, ALongPollEndsWhenOthersWaitForItsMemory) {
  create_topic("t", 200);
  std::vector<Ask> asks;
  for (int32_t i = 0; i < 200; ++i) asks.push_back({"t", i, 0});
  send(peer(0), 12, request(asks, 3'600'000));
  run_until([&] { return budget_.used(MemoryShare::kAnswers) > 0; });
  sim_.run_for(60 * runtime::kSecond);
  EXPECT_FALSE(has_response(peer(0)));
  bool granted = false;
  budget_.wait(MemoryShare::kAnswers, budget_.limit(MemoryShare::kAnswers), sim_.loop(0), [&](Reservation) { granted = true; });
  run_until([&] { return granted; }, 5 * runtime::kSecond);
  ASSERT_TRUE(has_response(peer(0)));
  EXPECT_EQ(take<FetchResponse>(peer(0), 12)->responses[0].partitions.size(), 200u);
}

}  // namespace
}  // namespace weir::broker
