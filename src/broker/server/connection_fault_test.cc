// A request that cannot be answered ends its connection, but the requests before it are answered.
#include <gmock/gmock.h>

#include "broker/server/connection_fixture.h"

namespace weir::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Reason = CloseReason;

class FaultTest : public EitherSocketTest {
 protected:
  FaultTest() { answer_at_once_ = false; }
  void answer_held(size_t which) {
    RequestContextPtr context = std::move(held_.at(which));
    held_.erase(held_.begin() + static_cast<ptrdiff_t>(which));
    answer(std::move(context));
  }
  void pass_ms(int64_t ms) { world_.advance(ms * runtime::kMillisecond); }
  void expect_nothing_left() {
    EXPECT_EQ(frontend_->connections(), 0u);
    EXPECT_EQ(budget_.used(MemoryShare::kRequests), 0u);
    EXPECT_EQ(budget_.used(MemoryShare::kAnswers), 0u);
    EXPECT_EQ(budget_.used(MemoryShare::kResponses), 0u);
  }
};
INSTANTIATE_TEST_SUITE_P(Sockets, FaultTest, ::testing::Bool());

TEST_P(FaultTest, AnswersBeforeARequestThatNobodyServesAreGiven) {
  int64_t ended = 0;
  for (const std::string& fault : {frame(999, 0, 9), frame(16, 50, 9), big_endian(0xffffffff, 4) + "garbage",
                                   big_endian(10, 4) + std::string("\0\x10\0\0\0\0\0\1\x7f\xff", 10)}) {
    FakePeer& peer = connect();
    peer.send(list_groups(1) + list_groups(2) + fault + list_groups(3));
    EXPECT_EQ(held_.size(), 2u) << "nothing behind the fault is handled";
    turn();
    EXPECT_FALSE(peer.closed);
    answer_held(1);
    turn();
    EXPECT_EQ(closed(Reason::kProtocol), ended);
    answer_held(0);
    turn();
    EXPECT_THAT(correlations(peer.received), ElementsAre(1, 2));
    EXPECT_TRUE(peer.closed);
    EXPECT_EQ(closed(Reason::kProtocol), ++ended);
  }
  expect_nothing_left();
}

TEST_P(FaultTest, AnswersThatAreReadyAreSent) {
  answer_at_once_ = true;
  FakePeer& peer = connect();
  peer.send(list_groups(1) + list_groups(2) + frame(999, 0, 3) + list_groups(4));
  turn();
  EXPECT_THAT(correlations(peer.received), ElementsAre(1, 2));
  EXPECT_TRUE(peer.closed);
  expect_nothing_left();
}

TEST_P(FaultTest, ARequestThatItsHandlerCannotAnswerEndsThoseBehindIt) {
  for (const bool says_so : {true, false}) {
    FakePeer& peer = connect();
    peer.send(list_groups(1) + produce(2, 4) + list_groups(3) + list_groups(4));
    ASSERT_EQ(held_.size(), 4u);
    answer_held(3);
    if (says_so) held_[1]->close("acks=0, and it failed");
    held_.erase(held_.begin() + 1);
    answer_held(1);
    turn();
    EXPECT_FALSE(peer.closed);
    answer_held(0);
    turn();
    EXPECT_THAT(correlations(peer.received), ElementsAre(1));
    EXPECT_TRUE(peer.closed);
    EXPECT_EQ(closed(says_so ? Reason::kProtocol : Reason::kDropped), 1);
  }
  expect_nothing_left();
}

TEST_P(FaultTest, TheFirstRequestWithoutAnswerCounts) {
  FakePeer& peer = connect();
  peer.send(list_groups(1) + list_groups(2) + list_groups(3) + list_groups(4));
  held_[3]->close("the last one");
  held_[1]->close("an earlier one");
  held_[2]->close("one that is given up already");
  answer_held(0);
  turn();
  EXPECT_THAT(correlations(peer.received), ElementsAre(1));
  EXPECT_TRUE(peer.closed);
  EXPECT_EQ(closed(Reason::kProtocol), 1);
  held_.clear();
  turn();
  expect_nothing_left();
}

TEST_P(FaultTest, NothingIsReadMeanwhile) {
  FakePeer& peer = connect();
  peer.send(list_groups(1) + frame(999, 0, 2));
  const int reads = peer.reads;
  peer.send(list_groups(3));
  pass_ms(1000);
  EXPECT_EQ(peer.reads, reads);
  EXPECT_EQ(held_.size(), 1u);
  answer_held(0);
  turn();
  EXPECT_TRUE(peer.closed);
}

TEST_P(FaultTest, ARequestThatIsArrivingGivesItsMemoryBack) {
  FakePeer& peer = connect();
  peer.send(list_groups(1) + list_groups(2));
  peer.send(produce(3, 400'000).substr(0, 200'000));
  EXPECT_GE(budget_.used(MemoryShare::kRequests), 200'000u);
  held_[1]->close("a fault");
  held_.pop_back();
  turn();
  EXPECT_EQ(budget_.used(MemoryShare::kRequests), 0u);
  EXPECT_FALSE(peer.closed);
  answer_held(0);
  turn();
  EXPECT_THAT(correlations(peer.received), ElementsAre(1));
  EXPECT_TRUE(peer.closed);
}

TEST_P(FaultTest, ARequestThatWaitsForMemoryIsGivenUp) {
  auto all = budget_.try_reserve(MemoryShare::kRequests, kRequestsLimit);
  ASSERT_TRUE(all);
  FakePeer& peer = connect();
  peer.send(list_groups(1) + list_groups(2) + produce(3, 400'000));
  held_.back()->close("a fault");
  held_.pop_back();
  all->release();
  turn();
  EXPECT_FALSE(peer.closed);
  EXPECT_EQ(held_.size(), 1u);
  answer_held(0);
  turn();
  EXPECT_THAT(correlations(peer.received), ElementsAre(1));
  EXPECT_TRUE(peer.closed);
  expect_nothing_left();
}

TEST_P(FaultTest, ARequestThatWaitsForItsTurnIsGivenUp) {
  const auto hold = [this](RequestContextPtr context) { held_.push_back(std::move(context)); };
  dispatcher_.add({.key = protocol::ApiKey::kOffsetCommit, .min_version = 2, .max_version = 2, .kind = RequestKind::kChanges},
                  hold);
  FakePeer& peer = connect();
  peer.send(list_groups(1) + frame(8, 2, 2) + list_groups(3));
  ASSERT_EQ(held_.size(), 2u);
  held_[1]->close("the change failed");
  held_.pop_back();
  turn();
  ASSERT_EQ(held_.size(), 1u) << "the one behind it is not begun";
  answer_held(0);
  turn();
  EXPECT_THAT(correlations(peer.received), ElementsAre(1));
  EXPECT_TRUE(peer.closed);
  expect_nothing_left();
}

TEST_P(FaultTest, AClientThatDoesNotTakeTheAnswersIsCutOff) {
  FakePeer& peer = connect();
  peer.room = 0;
  peer.send(list_groups(1) + frame(999, 0, 2));
  answer(std::move(held_[0]), std::string(30'000, 'g'));
  held_.clear();
  pass_ms(options_.frame_progress_ms - 100);
  EXPECT_FALSE(peer.closed);
  EXPECT_GT(budget_.used(MemoryShare::kResponses), 0u);
  peer.take(10);  // a trickle gives it no more time
  pass_ms(3000);
  EXPECT_TRUE(peer.closed);
  EXPECT_EQ(closed(Reason::kProtocol), 1);
  expect_nothing_left();
}

TEST_P(FaultTest, AnAnswerThatDoesNotComeIsNotAwaitedForEver) {
  FakePeer& peer = connect();
  peer.send(list_groups(1) + frame(999, 0, 2));
  pass_ms(options_.frame_progress_ms + 3000);
  EXPECT_TRUE(peer.closed);
  answer_held(0);
  turn();
  EXPECT_THAT(peer.received, IsEmpty());
  expect_nothing_left();
}

TEST_P(FaultTest, APeerThatIsGoneEndsItAtOnce) {
  FakePeer& peer = connect();
  peer.send(list_groups(1) + frame(999, 0, 2));
  peer.broken = true;
  answer_held(0);
  turn();
  EXPECT_TRUE(peer.closed);
  EXPECT_EQ(closed(Reason::kIo), 1);
  expect_nothing_left();
}

TEST_P(FaultTest, AMutedConnectionIsNotKeptForThat) {
  FakePeer& peer = connect();
  peer.send(list_groups(1) + list_groups(2) + list_groups(3));
  held_[0]->throttle(5000);
  answer_held(0);
  held_[1]->close("a fault");
  held_.pop_back();
  answer_held(0);
  turn();
  EXPECT_THAT(correlations(peer.received), ElementsAre(1, 2));
  EXPECT_TRUE(peer.closed);
  pass_ms(6000);
  expect_nothing_left();
}

TEST_P(FaultTest, WhileTheBrokerStopsTheAnswersAreGivenAsWell) {
  FakePeer& peer = connect();
  peer.send(list_groups(1) + frame(999, 0, 2));
  frontend_->drain();
  answer_held(0);
  turn();
  EXPECT_THAT(correlations(peer.received), ElementsAre(1));
  EXPECT_TRUE(peer.closed);
}

}  // namespace
}  // namespace weir::broker
