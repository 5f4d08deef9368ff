// Memory of large requests while they arrive.
#include <gmock/gmock.h>

#include "broker/server/connection_fixture.h"

namespace weir::broker {
namespace {

using ::testing::ElementsAre;
using Reason = CloseReason;

TEST_P(EitherSocketTest, ALargeRequestIsReceivedIntoAlignedMemoryOfItsOwn) {
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

TEST_P(EitherSocketTest, WaitsForMemoryWithoutReading) {
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

TEST_P(EitherSocketTest, ARequestLargerThanHalfTheMemoryForRequestsIsRefused) {
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

// One large request waits long for its answer, and the rest of another one does not come. There is room beside each.
TEST_P(EitherSocketTest, ARequestOfTheLargestSizeHoldsNobodyUp) {
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

TEST_P(EitherSocketTest, MemoryThatIsNotFreeInTimeEndsTheWait) {
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

TEST_P(EitherSocketTest, AnnouncedBytesHoldNobodyUp) {
  for (int i = 0; i < 60; ++i) connect_from(i).send(produce(i, kRequestsLimit / 2 - 100).substr(0, 1000));
  turn();
  EXPECT_LE(budget_.used(MemoryShare::kRequests), 60u * 4096);
  connect("10.0.0.2").send(produce(100, 200'000));
  turn();
  ASSERT_EQ(held_.size(), 1u);
  EXPECT_EQ(held_[0]->correlation_id(), 100);
}

TEST_P(EitherSocketTest, TheLastBlockOfALargeRequestEndsInZeros) {
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

TEST_P(EitherSocketTest, AVeryLargeRequestArrivesWhole) {
  MemoryBudget budget{{1 << 20, 32 << 20, 1 << 20, 1 << 20, 1 << 20}};
  Frontend frontend(world_.loop(), dispatcher_, budget, limits_, metrics_, options_);
  std::string body(5 << 20, '\0');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 7 >> 10);
  const std::string bytes = frame(0, 3, 1, body);
  FakePeer& peer = connect_to(frontend);
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

TEST_P(EitherSocketTest, RequestsThatHaveStoppedMakeRoomSoonWhileOthersWait) {
  std::vector<FakePeer*> stopped;
  for (int i = 0; i < 30; ++i) stopped.push_back(&connect_from(i));
  for (FakePeer* peer : stopped) peer->send(produce(1, kRequestsLimit / 2 - 100).substr(0, 60'000));
  FakePeer& other = connect("10.0.0.2");
  other.send(produce(100, 200'000));
  turn();
  EXPECT_EQ(held_.size(), 0u);
  EXPECT_LE(budget_.used(MemoryShare::kRequests), kRequestsLimit + 31 * 64'000) << "what came, and no more";
  // Clients that come again and again stand behind it.
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

TEST_P(EitherSocketTest, WithoutWaitersARequestMayTakeItsTime) {
  FakePeer& peer = connect();
  peer.send(produce(1, 200'000).substr(0, 1000));
  world_.advance(20 * runtime::kSecond);
  EXPECT_FALSE(peer.closed);
}

// The memory holds only some of the whole requests. Each connection is read on as the others end.
TEST_P(EitherSocketTest, RequestsThatArriveTogetherAllEndWithinTheBudget) {
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

TEST_P(EitherSocketTest, SmallRequestsNeedNoneOfTheMemoryOfLargeOnes) {
  answer_at_once_ = false;
  FakePeer& large = connect();
  for (int i = 0; i < 2; ++i) large.send(produce(1, kRequestsLimit / 2 - 100));
  connect("10.0.0.2").send(produce(2, 200'000));
  turn();
  EXPECT_EQ(budget_.waiting(MemoryShare::kRequests), 1u);
  // Each connection keeps a part of a block.
  for (int i = 0; i < 40; ++i) connect_from(i).send(produce(100 + i, 10'000));
  turn();
  EXPECT_EQ(held_.size(), 42u);
}

TEST_P(EitherSocketTest, ARequestThatTricklesInIsClosedAndOneThatFlowsIsNot) {
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

}  // namespace
}  // namespace weir::broker
