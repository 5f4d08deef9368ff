#include <gmock/gmock.h>

#include <numeric>
#include <random>

#include "base/log.h"
#include "broker/server/connection_fixture.h"
#include "protocol/messages/fetch.h"

namespace weir::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Reason = Connection::Reason;

TEST_F(ConnectionTest, AnswersManyPipelinedRequestsWithOneReceiveAndOneSend) {
  FakePeer& peer = connect();
  const int reads = peer.reads;
  peer.send(list_groups(1) + list_groups(2) + list_groups(3));
  EXPECT_EQ(peer.writes, 0) << "responses wait for the end of the turn";
  turn();
  EXPECT_THAT(correlations(peer.received), ElementsAre(1, 2, 3));
  EXPECT_EQ(peer.reads - reads, 1);
  EXPECT_EQ(peer.writes, 1);
}

TEST_F(ConnectionTest, KeepsTheOrderOfRequestsWhateverTheOrderOfAnswers) {
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

TEST_F(ConnectionTest, TakesARequestByteByByte) {
  FakePeer& peer = connect();
  for (const char c : list_groups(7) + list_groups(8)) {
    peer.send(std::string(1, c));
    turn();
  }
  EXPECT_THAT(correlations(peer.received), ElementsAre(7, 8));
  EXPECT_EQ(budget_.used(MemoryShare::kRequests), 0u);
}

TEST_F(ConnectionTest, ARequestWithoutResponseLeavesTheOthersInOrder) {
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

TEST_F(ConnectionTest, ALargeRequestIsReceivedIntoAlignedMemoryOfItsOwn) {
  FakePeer& peer = connect();
  const std::string bytes = produce(5, 200'000);
  peer.send(bytes.substr(0, 100'000));
  turn();
  EXPECT_EQ(budget_.used(MemoryShare::kRequests), 128u << 10) << "as much as comes, not as is announced";
  peer.send(bytes.substr(100'000));
  ASSERT_EQ(held_.size(), 1u);
  const Slice frame = held_[0]->frame();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(frame.data) % 4096, 0u);
  EXPECT_EQ(frame.data, frame.owner.data());
  EXPECT_EQ(as_string(frame.bytes()), bytes.substr(4));
  EXPECT_EQ(held_[0]->body().size(), 200'000u);
  answer(std::move(held_[0]));
  EXPECT_EQ(budget_.used(MemoryShare::kRequests), 0u) << "given back with the answer, not when it is sent";
  turn();
  EXPECT_THAT(correlations(peer.received), ElementsAre(5));
}

TEST_F(ConnectionTest, WaitsForMemoryWithoutReading) {
  FakePeer& first = connect();
  FakePeer& second = connect();
  for (int i = 0; i < 3; ++i) first.send(produce(1, kRequestsLimit / 4));
  ASSERT_EQ(held_.size(), 3u);
  const std::string large = produce(2, kRequestsLimit / 2 - 100);
  second.send(large.substr(0, large.size() - 10));
  turn();
  const int reads = second.reads;
  second.send(large.substr(large.size() - 10));
  turn();
  EXPECT_EQ(second.reads, reads);
  EXPECT_EQ(budget_.waiting(MemoryShare::kRequests), 1u);
  for (int i = 0; i < 3; ++i) answer(std::move(held_[static_cast<size_t>(i)]));
  turn();
  ASSERT_EQ(held_.size(), 4u);
  EXPECT_EQ(as_string(held_[3]->frame().bytes()), large.substr(4));
}

TEST_F(ConnectionTest, ARequestLargerThanHalfTheMemoryForRequestsIsRefused) {
  FakePeer& peer = connect();
  peer.send(produce(1, kRequestsLimit / 2 + 1).substr(0, 100));
  turn();
  EXPECT_TRUE(peer.closed);
  EXPECT_EQ(closed(Reason::kProtocol), 1);
  FakePeer& largest = connect();
  largest.send(produce(2, kRequestsLimit / 2 - 100));
  turn();
  EXPECT_EQ(held_.size(), 1u);
}

// It is not answered for long, and neither is another one's beginning sent on: there is room beside each.
TEST_F(ConnectionTest, ARequestOfTheLargestSizeHoldsNobodyUp) {
  answer_at_once_ = false;
  connect().send(produce(1, kRequestsLimit / 2 - 100));
  ASSERT_EQ(held_.size(), 1u);
  connect("10.0.0.2").send(produce(2, kRequestsLimit / 2 - 100));
  turn();
  EXPECT_EQ(held_.size(), 2u);
  answer(std::move(held_[1]));
  held_.pop_back();
  connect("10.0.0.3").send(produce(3, kRequestsLimit / 2 - 100).substr(0, kRequestsLimit / 8));
  connect("10.0.0.4").send(produce(4, 200'000));
  turn();
  EXPECT_EQ(held_.size(), 2u);
}

TEST_F(ConnectionTest, MemoryThatIsNotFreeInTimeEndsTheWait) {
  FakePeer& first = connect();
  for (int i = 0; i < 2; ++i) first.send(produce(1, kRequestsLimit / 2 - 100));
  turn();
  ASSERT_EQ(held_.size(), 2u);
  std::vector<FakePeer*> others;
  for (int i = 0; i < 2; ++i) {
    others.push_back(&connect());
    others.back()->send(produce(2, kRequestsLimit / 2 - 100).substr(0, 5));
  }
  turn();
  EXPECT_EQ(budget_.waiting(MemoryShare::kRequests), 2u);
  world_.advance(50 * runtime::kSecond);
  EXPECT_EQ(closed(Reason::kStalled), 0);
  world_.advance(15 * runtime::kSecond);
  EXPECT_EQ(closed(Reason::kStalled), 2);
  EXPECT_EQ(budget_.waiting(MemoryShare::kRequests), 0u);
  EXPECT_FALSE(first.closed) << "its answer is owed";
}

TEST_F(ConnectionTest, AnnouncedBytesHoldNobodyUp) {
  for (int i = 0; i < 60; ++i) connect_from(i).send(produce(i, kRequestsLimit / 2 - 100).substr(0, 1000));
  turn();
  EXPECT_LE(budget_.used(MemoryShare::kRequests), 60u * 4096);
  connect("10.0.0.2").send(produce(100, 200'000));
  turn();
  ASSERT_EQ(held_.size(), 1u);
  EXPECT_EQ(held_[0]->correlation_id(), 100);
}

TEST_F(ConnectionTest, TheLastBlockOfALargeRequestEndsInZeros) {
  FakePeer& peer = connect();
  for (const size_t body : {250'000u, 247'000u}) {  // the second one finds the memory of the first
    peer.send(produce(1, body));
    ASSERT_EQ(held_.size(), 1u);
    const Slice& frame = held_[0]->frame();
    const size_t rest = align_up(frame.size, 4096) - frame.size;
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(frame.data) + frame.size, rest), std::string(rest, '\0'));
    answer(std::move(held_[0]));
    held_.clear();
  }
}

TEST_F(ConnectionTest, AVeryLargeRequestArrivesWhole) {
  MemoryBudget budget{{1 << 20, 32 << 20, 1 << 20, 1 << 20, 1 << 20}};
  Frontend frontend(world_.loop(), dispatcher_, budget, limits_, metrics_, options_);
  std::string body(5 << 20, '\0');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 7 >> 10);
  const std::string bytes = frame(0, 3, 1, body);
  FakePeer& peer = peers_.emplace_back();
  frontend.accept(std::make_unique<FakeSocket>(peer, "10.0.0.1"), listener_);
  for (size_t sent = 0; sent < bytes.size(); sent += 300'000) {
    peer.send(bytes.substr(sent, 300'000));
    turn();
    EXPECT_LE(budget.used(MemoryShare::kRequests), 4 * (sent + 300'000));
  }
  ASSERT_EQ(held_.size(), 1u);
  EXPECT_TRUE(as_string(held_[0]->frame().bytes()) == std::string_view(bytes).substr(4));
  held_[0]->no_response();
  held_.clear();
  turn();
}

TEST_F(ConnectionTest, RequestsThatHaveStoppedMakeRoomSoonWhileOthersWait) {
  std::vector<FakePeer*> stopped;
  for (int i = 0; i < 30; ++i) stopped.push_back(&connect_from(i));
  for (FakePeer* peer : stopped) peer->send(produce(1, kRequestsLimit / 2 - 100).substr(0, 60'000));
  FakePeer& other = connect("10.0.0.2");
  other.send(produce(100, 200'000));
  turn();
  EXPECT_EQ(held_.size(), 0u);
  EXPECT_LE(budget_.used(MemoryShare::kRequests), kRequestsLimit + 31 * 64'000) << "what came, and no more";
  // Those who come again and again stand behind it.
  size_t seconds = 0;
  for (; held_.empty() && seconds < 60; ++seconds) {
    for (int i = 0; i < 5; ++i) {
      connect_from(static_cast<int>(seconds) * 5 + i).send(produce(2, kRequestsLimit / 2 - 100).substr(0, 60'000));
    }
    world_.advance(runtime::kSecond);
  }
  ASSERT_EQ(held_.size(), 1u);
  EXPECT_EQ(held_[0]->correlation_id(), 100);
  EXPECT_TRUE(stopped.front()->closed);
  EXPECT_LE(seconds, 20u);
}

TEST_F(ConnectionTest, WithoutWaitersARequestMayTakeItsTime) {
  FakePeer& peer = connect();
  peer.send(produce(1, 200'000).substr(0, 1000));
  world_.advance(20 * runtime::kSecond);
  EXPECT_FALSE(peer.closed);
}

// A connection that sends a whole request of which the memory holds only some is read as the others end.
TEST_F(ConnectionTest, RequestsThatArriveTogetherAllEndWithinTheBudget) {
  const std::string bytes = produce(1, 500'000);
  constexpr size_t kPeers = 12;
  std::vector<FakePeer*> peers;
  for (size_t i = 0; i < kPeers; ++i) peers.push_back(&connect_from(static_cast<int>(i)));
  size_t answered = 0;
  uint64_t most = 0;
  for (size_t sent = 0; answered < kPeers && sent < 40 * bytes.size(); sent += 50'000) {
    for (FakePeer* peer : peers) {
      if (sent < bytes.size()) peer->send(bytes.substr(sent, 50'000));
    }
    turn();
    most = std::max(most, budget_.used(MemoryShare::kRequests));
    for (; !held_.empty(); held_.pop_front(), ++answered) answer(std::move(held_.front()));
  }
  EXPECT_EQ(answered, kPeers);
  EXPECT_LE(most, kRequestsLimit + kPeers * 64'000) << "what was received before it had to wait is on top";
  EXPECT_EQ(budget_.used(MemoryShare::kRequests), 0u);
  EXPECT_EQ(closed(Reason::kStalled), 0);
}

TEST_F(ConnectionTest, SmallRequestsNeedNoneOfTheMemoryOfLargeOnes) {
  answer_at_once_ = false;
  FakePeer& large = connect();
  for (int i = 0; i < 2; ++i) large.send(produce(1, kRequestsLimit / 2 - 100));
  connect("10.0.0.2").send(produce(2, 200'000));
  turn();
  EXPECT_EQ(budget_.waiting(MemoryShare::kRequests), 1u);
  // Each keeps a part of a block.
  for (int i = 0; i < 40; ++i) connect_from(i).send(produce(100 + i, 10'000));
  turn();
  EXPECT_EQ(held_.size(), 42u);
}

TEST_F(ConnectionTest, ARequestThatTricklesInIsClosedAndOneThatFlowsIsNot) {
  FakePeer& slow = connect();
  FakePeer& steady = connect();
  const std::string bytes = produce(1, 500'000);
  slow.send(bytes.substr(0, 1000));
  steady.send(bytes.substr(0, 1000));
  for (size_t second = 0; second < 35; ++second) {
    world_.advance(runtime::kSecond);
    slow.send(bytes.substr(1000 + second, 1));
    steady.send(bytes.substr(1000 + second * 10'000, 10'000));
  }
  EXPECT_TRUE(slow.closed);
  EXPECT_FALSE(steady.closed);
}

TEST_F(ConnectionTest, RefusesHostileSizes) {
  for (const uint64_t size : {0ull, 7ull, 0xffffffffull, 0x80000000ull, (100ull << 20) + 1}) {
    FakePeer& peer = connect();
    peer.send(big_endian(size, 4) + "abcdefgh");
    turn();
    EXPECT_TRUE(peer.closed) << size;
  }
  EXPECT_EQ(closed(Reason::kProtocol), 5);
  EXPECT_EQ(budget_.used(MemoryShare::kRequests), 0u);
  EXPECT_EQ(frontend_->connections(), 0u);
}

TEST_F(ConnectionTest, RecognisesTlsAndHttp) {
  FakePeer& tls = connect();
  tls.send(std::string("\x16\x03\x01\x02\x00\x01", 6));
  FakePeer& http = connect();
  http.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  turn();
  EXPECT_TRUE(tls.closed);
  EXPECT_EQ(tls.received, "");
  EXPECT_TRUE(http.closed);
  EXPECT_THAT(http.received, HasSubstr("HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_THAT(http.received, HasSubstr("http.listener is off"));
  EXPECT_EQ(closed(Reason::kForeign), 2);
}

TEST_F(ConnectionTest, TellsHttpClientsWhereHttpIsSpoken) {
  frontend_->tell_http_clients("[::1]:9644");
  const std::vector<std::string> verbs = {"GET",   "HEAD",    "POST",  "PUT", "DELETE", "OPTIONS",
                                          "PATCH", "CONNECT", "TRACE", "get", "Post"};
  for (const std::string& verb : verbs) {
    FakePeer& http = connect();
    http.send(verb + " / HTTP/1.1\r\nHost: x\r\n\r\n");
    turn();
    EXPECT_TRUE(http.closed) << verb;
    EXPECT_THAT(http.received, HasSubstr("http://[::1]:9644")) << verb;
    const size_t body = http.received.find("\r\n\r\n") + 4;
    EXPECT_THAT(http.received, HasSubstr("Content-Length: " + std::to_string(http.received.size() - body) + "\r\n"));
    EXPECT_EQ(http.received.back(), '\n');
  }
  EXPECT_EQ(closed(Reason::kForeign), static_cast<int64_t>(verbs.size()));
}

TEST_F(ConnectionTest, ClosesOnUnknownApisVersionsAndBrokenHeaders) {
  for (const std::string& bytes : {frame(999, 0, 1), frame(-3, 0, 1), frame(16, 50, 1), frame(0, 1, 1),
                                   big_endian(10, 4) + std::string("\0\x10\0\0\0\0\0\1\x7f\xff", 10)}) {
    FakePeer& peer = connect();
    peer.send(list_groups(0) + bytes + list_groups(2));
    turn();
    EXPECT_TRUE(peer.closed);
  }
  EXPECT_EQ(closed(Reason::kProtocol), 5);
}

TEST_F(ConnectionTest, AMalformedBodyClosesTheConnection) {
  answer_at_once_ = false;
  FakePeer& peer = connect();
  peer.send(produce(1, 4));  // a transactional id of 28,784 bytes, of which two are there
  ASSERT_EQ(held_.size(), 1u);
  protocol::ProduceRequest request;
  EXPECT_FALSE(held_[0]->decode(request));
  turn();
  EXPECT_TRUE(peer.closed);
}

TEST_F(ConnectionTest, BytesBehindTheBodyAreIgnored) {
  answer_at_once_ = false;
  FakePeer& peer = connect();
  peer.send(frame(16, 0, 1, "left over"));
  ASSERT_EQ(held_.size(), 1u);
  protocol::ListGroupsRequest request;
  EXPECT_TRUE(held_[0]->decode(request));
  turn();
  EXPECT_FALSE(peer.closed);
}

TEST_F(ConnectionTest, SendsTheRestWhenThePeerTakesIt) {
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

TEST_F(ConnectionTest, StopsReadingAtTheBoundOfRequestsInFlight) {
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

TEST_F(ConnectionTest, ASlowReaderStopsBeingReadAndIsClosedInTheEnd) {
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

TEST_F(ConnectionTest, IdleConnectionsAreClosedButNotThoseThatWaitForUs) {
  answer_at_once_ = false;
  FakePeer& idle = connect();
  FakePeer& waiting = connect();
  FakePeer& active = connect();
  waiting.send(list_groups(1));
  for (int minute = 0; minute < 11; ++minute) {
    world_.advance(60 * runtime::kSecond);
    active.send(list_groups(minute));
    answer(std::move(held_.back()));
    held_.pop_back();
  }
  EXPECT_TRUE(idle.closed);
  EXPECT_FALSE(waiting.closed);
  EXPECT_FALSE(active.closed);
  EXPECT_EQ(limits_.connections(), 2);
}

TEST_F(ConnectionTest, SendsSlicesAndFileRangesInTheirPlaces) {
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
  EXPECT_TRUE(memory.unique()) << "sent slices are let go";
}

TEST_F(ConnectionTest, AHandlerThatGivesUpClosesTheConnection) {
  answer_at_once_ = false;
  FakePeer& peer = connect();
  peer.send(list_groups(1));
  held_.clear();
  turn();
  EXPECT_TRUE(peer.closed);
  EXPECT_EQ(closed(Reason::kDropped), 1);
}

TEST_F(ConnectionTest, AnAnswerAfterTheCloseIsHarmless) {
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

TEST(ConnectionLimits, KeepsDescriptorsBackForTheBrokersOwnFiles) {
  EXPECT_EQ(ConnectionLimits::descriptors_for_connections(100), 50);
  EXPECT_EQ(ConnectionLimits::descriptors_for_connections(1024), 512);
  EXPECT_EQ(ConnectionLimits::descriptors_for_connections(4096), 3072);
  EXPECT_EQ(ConnectionLimits::descriptors_for_connections(1 << 20), (1 << 20) - 2048);
  ConnectionLimits limits(1'000'000, 1'000'000, 4);
  EXPECT_EQ(limits.admit("a"), nullptr);
  EXPECT_EQ(limits.admit("a"), nullptr);
  ASSERT_NE(limits.admit("a"), nullptr);
  EXPECT_NE(std::string(limits.admit("a")).find("ulimit -n"), std::string::npos);
  limits.leave("a");
  EXPECT_EQ(limits.admit("a"), nullptr);
}

TEST_F(ConnectionTest, EnforcesTheLimitsOfConnections) {
  for (int i = 0; i < 3; ++i) connect("10.0.0.1");
  EXPECT_TRUE(connect("10.0.0.1").closed);
  FakePeer& other = connect("10.0.0.2");
  EXPECT_FALSE(other.closed);
  peers_[0].finish();
  turn();
  EXPECT_FALSE(connect("10.0.0.1").closed);
  limits_.set_limits(4, 10);
  EXPECT_TRUE(connect("10.0.0.3").closed);
  EXPECT_EQ(metrics_.refused.total(), 2);
  EXPECT_EQ(metrics_.connections(), 4);
}

TEST_F(ConnectionTest, CountsRequestsBytesAndTime) {
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

TEST_F(ConnectionTest, LogsSlowRequestsWithTheirStagesAndNotTooMany) {
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel, std::string_view, std::string_view line) { lines.emplace_back(line); });
  answer_at_once_ = false;
  FakePeer& peer = connect();
  for (int i = 0; i < 8; ++i) {
    peer.send(list_groups(i));
    turn();
    if (i == 1) held_.back()->may_wait_ms(std::numeric_limits<int32_t>::min());  // as a client may say it: not at all
    // The third one may wait for as long.
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
TEST_F(ConnectionTest, SurvivesAnyFragmentation) {
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
