// The memory of decoded requests and of answers.
#include <gmock/gmock.h>

#include "broker/server/connection_fixture.h"
#include "protocol/messages/describe_groups.h"

namespace weir::broker {
namespace {

using protocol::DescribeGroupsRequest;
using ::testing::ElementsAre;
using Reason = Connection::Reason;

class RequestMemoryTest : public ConnectionTest {
 protected:
  static constexpr uint64_t kElement = RequestContext::kElementBytes;

  void SetUp() override {
    // DescribeGroups names many groups. Its answer waits for the test, or comes at once with some size.
    dispatcher_.add({.key = protocol::ApiKey::kDescribeGroups}, [this](RequestContextPtr context) {
      ++calls_;
      DescribeGroupsRequest request;
      if (!context->decode(request) || !context->reserve(reserved_)) return;
      named_ = request.groups.size();
      if (answer_bytes_ > 0) return answer(std::move(context), std::string(answer_bytes_, 'g'));
      held_.push_back(std::move(context));
    });
    ConnectionTest::SetUp();
  }
  static std::string describe_groups(int32_t correlation, size_t names) {
    std::string body = big_endian(names, 4);
    for (size_t i = 0; i < names; ++i) body += big_endian(1, 2) + "g";
    return frame(15, 0, correlation, body);
  }

  int calls_ = 0;
  uint64_t reserved_ = 0;
  size_t answer_bytes_ = 0;
  size_t named_ = 0;
};

TEST_F(RequestMemoryTest, AFewElementsAreFree) {
  connect().send(describe_groups(1, RequestContext::kFreeElements));
  turn();
  EXPECT_EQ(held_.size(), 1u);
  EXPECT_EQ(budget_.used(MemoryShare::kAnswers), 0u);
}

TEST_F(RequestMemoryTest, ManyAreReservedUntilTheHandlerIsDone) {
  FakePeer& peer = connect();
  peer.send(describe_groups(1, 1000));
  turn();
  EXPECT_EQ(named_, 1000u);
  EXPECT_EQ(budget_.used(MemoryShare::kAnswers), 1000 * kElement);
  peer.room = 0;
  answer(std::move(held_[0]), std::string(20'000, 'g'));
  held_.clear();
  turn();
  EXPECT_GE(budget_.used(MemoryShare::kAnswers), 20'000u) << "the answer";
  EXPECT_LT(budget_.used(MemoryShare::kAnswers), 100'000u);
  peer.take(1 << 20);
  turn();
  EXPECT_EQ(budget_.used(MemoryShare::kAnswers), 0u);
}

TEST_F(RequestMemoryTest, WithoutRoomTheHandlerIsCalledAgainAndItsConnectionWaits) {
  auto others = budget_.try_reserve(MemoryShare::kAnswers, kAnswersLimit - 10'000);
  FakePeer& peer = connect();
  peer.send(describe_groups(1, 1000) + list_groups(2));
  peer.send(list_groups(3));
  turn();
  EXPECT_EQ(calls_, 1);
  EXPECT_EQ(budget_.waiting(MemoryShare::kAnswers), 1u);
  EXPECT_EQ(peer.received, "");
  connect("10.0.0.2").send(list_groups(9));
  turn();
  EXPECT_THAT(correlations(peers_.back().received), ElementsAre(9)) << "others go on";
  answer_bytes_ = 10;
  others->release();
  turn();
  EXPECT_EQ(calls_, 2);
  EXPECT_EQ(named_, 1000u);
  turn();
  EXPECT_THAT(correlations(peer.received), ElementsAre(1, 2, 3));
  EXPECT_EQ(budget_.used(MemoryShare::kAnswers), 0u);
}

TEST_F(RequestMemoryTest, WhatAnAnswerTakesIsReservedBeforeItIsMade) {
  reserved_ = 600'000;
  connect().send(describe_groups(1, 1));
  connect("10.0.0.2").send(describe_groups(2, 1));
  turn();
  EXPECT_EQ(held_.size(), 1u);
  EXPECT_EQ(budget_.used(MemoryShare::kAnswers), reserved_);
  answer(std::move(held_[0]));
  held_.clear();
  turn();
  ASSERT_EQ(held_.size(), 1u);
  EXPECT_EQ(held_[0]->correlation_id(), 2);
}

TEST_F(RequestMemoryTest, AConnectionThatClosesLetsItsWaiterGo) {
  auto others = budget_.try_reserve(MemoryShare::kAnswers, kAnswersLimit);
  FakePeer& peer = connect();
  peer.send(describe_groups(1, 1000));
  turn();
  EXPECT_EQ(budget_.waiting(MemoryShare::kAnswers), 1u);
  frontend_.reset();
  EXPECT_TRUE(peer.closed);
  EXPECT_EQ(budget_.waiting(MemoryShare::kAnswers), 0u);
  EXPECT_EQ(budget_.used(MemoryShare::kAnswers), kAnswersLimit);
}

TEST_F(RequestMemoryTest, WhoDoesNotReadMakesRoomSoonWhileOthersWait) {
  answer_bytes_ = 30'000;
  reserved_ = 100'000;
  std::vector<FakePeer*> silent;
  for (int i = 0; i < 60; ++i) {
    silent.push_back(&connect_from(i));
    silent.back()->room = 0;
    silent.back()->send(describe_groups(1, 1));
    turn();
  }
  EXPECT_LE(budget_.used(MemoryShare::kAnswers), kAnswersLimit);
  FakePeer& reads = connect("10.0.0.2");
  reads.send(describe_groups(100, 1));
  world_.advance(30 * runtime::kSecond);
  EXPECT_THAT(correlations(reads.received), ElementsAre(100));
  EXPECT_TRUE(silent.front()->closed);
  EXPECT_GT(closed(Reason::kStalled), 0);
}

TEST_F(RequestMemoryTest, WithoutWaitersWhoDoesNotReadMayStay) {
  answer_bytes_ = 30'000;
  reserved_ = 100'000;
  FakePeer& silent = connect();
  silent.room = 0;
  silent.send(describe_groups(1, 1));
  world_.advance(20 * runtime::kSecond);
  EXPECT_FALSE(silent.closed);
}

TEST_F(RequestMemoryTest, AnswersBehindARequestThatWaitsMakeRoomSoonWhileOthersWait) {
  FakePeer& waits = connect();
  waits.send(describe_groups(1, 1));  // is not answered for as long as the client likes
  turn();
  ASSERT_EQ(held_.size(), 1u);
  answer_bytes_ = 30'000;
  reserved_ = 100'000;
  waits.send(describe_groups(2, 1));
  turn();
  EXPECT_GE(budget_.used(MemoryShare::kAnswers), 30'000u);
  world_.advance(60 * runtime::kSecond);
  EXPECT_FALSE(waits.closed) << "nobody minds";
  bool granted = false;
  budget_.wait(MemoryShare::kAnswers, kAnswersLimit, world_.loop(), [&](Reservation) { granted = true; });
  world_.advance(10 * runtime::kSecond);
  EXPECT_TRUE(waits.closed);
  EXPECT_TRUE(granted);
  EXPECT_EQ(closed(Reason::kStalled), 1);
  held_.clear();
}

// The same holds for responses of fetches, which have a share of their own.
TEST_F(RequestMemoryTest, ResponsesThatAreNotReadMakeRoomSoonWhileOthersWait) {
  answer_at_once_ = false;
  FakePeer& silent = connect();
  silent.room = 0;
  silent.send(list_groups(1));
  answer(std::move(held_[0]), std::string(30'000, 'g'));
  held_.clear();
  turn();
  EXPECT_GE(budget_.used(MemoryShare::kResponses), 30'000u);
  world_.advance(60 * runtime::kSecond);
  EXPECT_FALSE(silent.closed) << "nobody minds";
  bool granted = false;
  const auto others = budget_.try_reserve(MemoryShare::kResponses, budget_.limit(MemoryShare::kResponses) - 50'000);
  budget_.wait(MemoryShare::kResponses, 40'000, world_.loop(), [&](Reservation) { granted = true; });
  world_.advance(5 * runtime::kSecond);
  EXPECT_TRUE(granted);
  EXPECT_TRUE(silent.closed);
  EXPECT_EQ(closed(Reason::kStalled), 1);
}

TEST_F(RequestMemoryTest, BlocksOfABusyMomentAreGivenBackOnAQuietShard) {
  answer_at_once_ = false;
  for (int i = 0; i < 200; ++i) connect_from(i).send(produce(i, 8'000));
  turn();
  ASSERT_EQ(held_.size(), 200u);
  EXPECT_GT(budget_.used(MemoryShare::kRequests), 0u);
  for (RequestContextPtr& context : held_) answer(std::move(context));
  held_.clear();
  world_.advance(3 * runtime::kSecond);
  EXPECT_EQ(budget_.used(MemoryShare::kRequests), 0u);
}

// The rest of the request is not read, because its client does not read the answers before it.
TEST_F(RequestMemoryTest, ARequestBehindUnreadAnswersMakesRoomSoonWhileOthersWait) {
  FakePeer& silent = connect();
  silent.room = 0;
  answer_at_once_ = false;
  std::string requests;
  for (int i = 0; i < 40; ++i) requests += list_groups(i);
  silent.send(requests + produce(99, 500'000).substr(0, 100'000));
  turn();
  ASSERT_EQ(held_.size(), 40u);
  for (RequestContextPtr& context : held_) answer(std::move(context), std::string(30'000, 'g'));
  held_.clear();
  turn();
  EXPECT_GE(budget_.used(MemoryShare::kRequests), 100'000u);
  bool granted = false;
  budget_.wait(MemoryShare::kRequests, kRequestsLimit, world_.loop(), [&](Reservation) { granted = true; });
  world_.advance(10 * runtime::kSecond);
  EXPECT_TRUE(silent.closed);
  EXPECT_TRUE(granted);
}

TEST_F(RequestMemoryTest, MoreElementsThanThereIsMemoryForEndTheConnection) {
  FakePeer& peer = connect();
  peer.send(describe_groups(1, kAnswersLimit / kElement + 1));
  turn();
  EXPECT_TRUE(peer.closed);
  EXPECT_EQ(closed(Reason::kProtocol), 1);
  EXPECT_EQ(budget_.used(MemoryShare::kAnswers), 0u);
}

}  // namespace
}  // namespace weir::broker
