// Answers: their order, their sends, and their metrics.
#include <gmock/gmock.h>

#include <limits>
#include <numeric>
#include <random>

#include "base/log.h"
#include "broker/server/connection_fixture.h"
#include "protocol/messages/fetch.h"

namespace weir::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Reason = CloseReason;

TEST_P(EitherSocketTest, AnswersManyPipelinedRequestsWithOneReceiveAndOneSend) {
  FakePeer& peer = connect();
  const int reads = peer.reads;
  peer.send(list_groups(1) + list_groups(2) + list_groups(3));
  EXPECT_EQ(peer.writes, 0) << "responses wait for the end of the turn";
  turn();
  EXPECT_THAT(correlations(peer.received), ElementsAre(1, 2, 3));
  EXPECT_EQ(peer.reads - reads, 1);
  EXPECT_EQ(peer.writes, 1);
}

TEST_P(EitherSocketTest, KeepsTheOrderOfRequestsWhateverTheOrderOfAnswers) {
  answer_at_once_ = false;
  FakePeer& peer = connect();
  peer.send(list_groups(1) + list_groups(2) + list_groups(3));
  ASSERT_EQ(held_.size(), 3u);
  answer(std::move(held_[2]));
  answer(std::move(held_[1]));
  turn();
  EXPECT_EQ(peer.received, "");
  answer(std::move(held_[0]));
  turn();
  EXPECT_THAT(correlations(peer.received), ElementsAre(1, 2, 3));
  EXPECT_EQ(peer.writes, 1);
}

TEST_P(EitherSocketTest, ARequestWithoutResponseLeavesTheOthersInOrder) {
  answer_at_once_ = false;
  FakePeer& peer = connect();
  peer.send(list_groups(1) + produce(2, 10) + list_groups(3));
  ASSERT_EQ(held_.size(), 3u);
  answer(std::move(held_[2]));
  held_[1]->no_response();
  answer(std::move(held_[0]));
  turn();
  EXPECT_THAT(correlations(peer.received), ElementsAre(1, 3));
}

TEST_P(EitherSocketTest, SendsTheRestWhenThePeerTakesIt) {
  FakePeer& peer = connect();
  peer.room = 5;
  peer.send(list_groups(1) + list_groups(2) + list_groups(3));
  turn();
  EXPECT_EQ(peer.received.size(), 5u);
  const int writes = peer.writes;
  peer.send(list_groups(4));
  turn();
  EXPECT_EQ(peer.writes, writes) << "a full socket is not tried again";
  while (peer.received.size() < 4 * 14) peer.take(3);
  EXPECT_THAT(correlations(peer.received), ElementsAre(1, 2, 3, 4));
}

TEST_P(EitherSocketTest, StopsReadingAtTheBoundOfRequestsInFlight) {
  answer_at_once_ = false;
  FakePeer& peer = connect();
  std::string requests;
  constexpr int kAll = 3 * Connection::kMaxRequestsInFlight;
  for (int i = 0; i < kAll; ++i) requests += list_groups(i);
  peer.send(requests);
  turn();
  EXPECT_EQ(held_.size(), Connection::kMaxRequestsInFlight);
  std::vector<int32_t> expected(kAll);
  std::iota(expected.begin(), expected.end(), 0);
  while (!held_.empty()) {
    RequestContextPtr next = std::move(held_.front());
    held_.pop_front();
    answer(std::move(next));
    turn();
    EXPECT_LE(held_.size(), Connection::kMaxRequestsInFlight);
  }
  EXPECT_EQ(correlations(peer.received), expected);
  EXPECT_EQ(budget_.used(MemoryShare::kRequests), 0u);
}

TEST_P(EitherSocketTest, ASlowReaderStopsBeingReadAndIsClosedInTheEnd) {
  answer_at_once_ = false;
  FakePeer& peer = connect();
  peer.room = 0;
  peer.send(list_groups(1) + list_groups(2));
  answer(std::move(held_[0]), std::string(20'000, 'g'));
  answer(std::move(held_[1]), std::string(20'000, 'g'));
  turn();
  EXPECT_EQ(budget_.used(MemoryShare::kResponses), 2u * (20'000 + 18));
  for (int i = 0; i < 100; ++i) {
    peer.send(list_groups(10 + i));
    turn();
    while (!held_.empty()) {
      RequestContextPtr next = std::move(held_.front());
      held_.pop_front();
      if (next) answer(std::move(next), std::string(32'000, 'g'));
    }
  }
  EXPECT_GT(peer.to_read.size(), 0u);
  EXPECT_LT(budget_.used(MemoryShare::kResponses), 1'200'000u);
  world_.advance(11 * 60 * runtime::kSecond);
  EXPECT_TRUE(peer.closed);
  EXPECT_EQ(closed(Reason::kIdle), 1);
  EXPECT_EQ(budget_.used(MemoryShare::kResponses), 0u);
}

TEST_P(EitherSocketTest, SendsSlicesAndFileRangesInTheirPlaces) {
  auto file = world_.files().open("/f", {.write = true, .create = true});
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->write_at(0, as_bytes("0123456789")));
  const std::shared_ptr<runtime::File> shared = std::move(*file);
  answer_at_once_ = false;
  FakePeer& peer = connect();
  peer.room = 3;
  peer.send(list_groups(1) + list_groups(2));

  const Buffer memory = Buffer::allocate(100);
  std::memcpy(memory.data(), "abcdef", 6);
  protocol::FetchResponse response;
  RequestContext& context = *held_[0];
  response.responses = context.arena().array<protocol::FetchResponse::FetchableTopicResponse>(1);
  response.responses[0].partitions = context.arena().array<protocol::FetchResponse::PartitionData>(2);
  response.responses[0].partitions[0].records.external_id = context.attach(storage::FileRange{shared, 2, 5});
  context.attach(Slice{memory, memory.data(), 3});
  response.responses[0].partitions[0].records.external_size = 8;
  response.responses[0].partitions[1].records.external_id = context.attach(Slice{memory, memory.data() + 3, 3});
  response.responses[0].partitions[1].records.external_size = 3;
  context.respond_as(response, 4);
  answer(std::move(held_[1]));
  held_.clear();
  turn();
  while (correlations(peer.received).size() < 2) peer.take(3);
  EXPECT_THAT(peer.received, HasSubstr(big_endian(8, 4) + "23456abc"));
  EXPECT_THAT(peer.received, HasSubstr(big_endian(3, 4) + "def"));
  EXPECT_THAT(correlations(peer.received), ElementsAre(1, 2));
  EXPECT_EQ(peer.file_sends > 0, !changed_) << "a socket that changes the bytes cannot send them from a file";
  EXPECT_TRUE(memory.unique()) << "sent slices are let go";
}

TEST_P(EitherSocketTest, AHandlerThatGivesUpClosesTheConnection) {
  answer_at_once_ = false;
  FakePeer& peer = connect();
  peer.send(list_groups(1));
  held_.clear();
  turn();
  EXPECT_TRUE(peer.closed);
  EXPECT_EQ(closed(Reason::kDropped), 1);
}

TEST_P(EitherSocketTest, AnAnswerAfterTheCloseIsHarmless) {
  answer_at_once_ = false;
  FakePeer& peer = connect();
  peer.send(list_groups(1) + produce(2, 100'000));
  ASSERT_EQ(held_.size(), 2u);
  const auto closed_flag = held_[0]->connection_closed_flag();
  EXPECT_FALSE(*closed_flag);
  peer.finish();
  turn();
  EXPECT_TRUE(peer.closed);
  EXPECT_EQ(frontend_->connections(), 1u) << "the handlers still refer to it";
  EXPECT_TRUE(held_[0]->connection_closed());
  EXPECT_TRUE(*closed_flag);
  EXPECT_TRUE(*held_[1]->connection_closed_flag());
  answer(std::move(held_[0]));
  held_[1]->close("late");
  held_.clear();
  turn();
  EXPECT_EQ(frontend_->connections(), 0u);
  EXPECT_EQ(budget_.used(MemoryShare::kRequests), 0u);
}

TEST_P(EitherSocketTest, CountsRequestsBytesAndTime) {
  FakePeer& peer = connect();
  peer.send(list_groups(1) + list_groups(2));
  turn();
  const std::string text = registry_.scrape();
  EXPECT_THAT(text, HasSubstr("kafka_network_requestmetrics_requests_total{request=\"ListGroups\",version=\"0\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("weir_request_duration_seconds_count{request=\"ListGroups\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("weir_response_bytes_total{request=\"ListGroups\"} 28\n"));
  EXPECT_THAT(
      text, HasSubstr("kafka_server_socket_server_metrics_connection_count{listener=\"PLAINTEXT\",networkProcessor=\"0\"} 1\n"));
}

TEST_P(EitherSocketTest, LogsSlowRequestsWithTheirStagesAndNotTooMany) {
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel, std::string_view, std::string_view line) { lines.emplace_back(line); });
  answer_at_once_ = false;
  FakePeer& peer = connect();
  for (int i = 0; i < 8; ++i) {
    peer.send(list_groups(i));
    turn();
    if (i == 1) held_.back()->may_wait_ms(std::numeric_limits<int32_t>::min());  // as a client may say it: not at all
    // The third request may wait for a minute.
    if (i == 2) held_.back()->may_wait_ms(60'000);
    world_.advance((i == 1 ? 900 : 1500) * runtime::kMillisecond);
    answer(std::move(held_.back()));
    held_.clear();
    turn();
  }
  set_log_sink({});
  EXPECT_EQ(metrics_.slow_requests.total(), 6) << "the second one was fast, the third one asked to wait";
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_THAT(lines[0], HasSubstr("Slow request: ListGroups version 0 of client 'test' at 10.0.0.1:"));
  EXPECT_THAT(lines[0], HasSubstr("log and other shards 150"));
}

// Whatever the pieces in which requests arrive and answers leave, every request is answered, in order.
TEST_P(EitherSocketTest, SurvivesAnyFragmentation) {
  answer_at_once_ = false;
  std::mt19937_64 random(20240131);
  for (int round = 0; round < 30; ++round) {
    FakePeer& peer = connect();
    peer.room = 0;
    std::string requests;
    std::vector<int32_t> expected;
    const int count = 1 + static_cast<int>(random() % 200);
    for (int i = 0; i < count; ++i) {
      expected.push_back(i);
      requests += random() % 8 == 0 ? produce(i, random() % 150'000) : list_groups(i);
    }
    peer.read_at_most = 1 + random() % 100'000;
    for (int step = 0; correlations(peer.received).size() < expected.size() && step < 20'000; ++step) {
      const size_t n = std::min<size_t>(requests.size(), random() % 60'000);
      peer.send(requests.substr(0, n));  // an event even if nothing is new: what a short read left is readable
      requests.erase(0, n);
      for (int i = 0; i < 20 && !held_.empty(); ++i) {
        const size_t which = random() % held_.size();
        RequestContextPtr next = std::move(held_[which]);
        held_.erase(held_.begin() + static_cast<ptrdiff_t>(which));
        answer(std::move(next));
      }
      turn();
      peer.take(random() % 300);
    }
    ASSERT_EQ(correlations(peer.received), expected) << "round " << round;
    peer.finish();
    turn();
    EXPECT_EQ(budget_.used(MemoryShare::kRequests), 0u);
  }
}

}  // namespace
}  // namespace weir::broker
