// A client that used up its quota is told so and muted.
#include <gmock/gmock.h>

#include "broker/server/connection_fixture.h"
#include "protocol/messages/describe_quorum.h"

namespace weir::broker {
namespace {

using protocol::ApiKey;
using ::testing::ElementsAre;

// Throttles a class for as long as the test says.
class OneClassQuotas final : public ClientQuotas {
 public:
  int32_t count(const QuotaUse& use) override {
    uses.push_back(
        {use.throttle, use.principal.text() + "/" + std::string(use.client_id), use.request_bytes, use.response_bytes});
    return use.throttle == throttled ? for_ms : 0;
  }
  struct Use {
    ThrottleClass throttle;
    std::string client;
    uint64_t request_bytes, response_bytes;
  };
  ThrottleClass throttled = ThrottleClass::kControllerMutation;
  int32_t for_ms = 500;
  std::vector<Use> uses;
};

class ThrottleTest : public ConnectionTest {
 protected:
  void SetUp() override {
    options_.connections_max_idle_ms = 60'000;
    ConnectionTest::SetUp();
    dispatcher_.set_quotas(&quotas_);
    // ListGroups counts as a request, as in the table of APIs. These stand for other classes.
    const auto answer_1 = [](RequestContextPtr context) { context->respond_as(protocol::ListGroupsResponse(), 1); };
    dispatcher_.add(
        {.key = ApiKey::kCreateTopics, .min_version = 2, .max_version = 2, .throttle = ThrottleClass::kControllerMutation},
        answer_1);
    dispatcher_.add({.key = ApiKey::kDescribeGroups, .throttle = ThrottleClass::kExempt}, answer_1);
    dispatcher_.add(
        {.key = ApiKey::kOffsetCommit, .min_version = 2, .max_version = 2, .throttle = ThrottleClass::kControllerMutation},
        [](RequestContextPtr context) { context->no_response(); });
  }
  static std::string mutation(int32_t correlation) { return frame(19, 2, correlation); }
  static std::string exempt(int32_t correlation) { return frame(15, 0, correlation); }
  static std::string unanswered_mutation(int32_t correlation) { return frame(8, 2, correlation); }
  // Returns the throttle time, with which an answer of ListGroups 1 begins.
  static int32_t throttle_time_ms(const std::string& answers) {
    return load_be<int32_t>(reinterpret_cast<const uint8_t*>(answers.data()) + 8);
  }
  void pass_ms(int64_t ms) { world_.advance(ms * runtime::kMillisecond); }

  OneClassQuotas quotas_;
};

TEST_F(ThrottleTest, TheAnswerGoesAtOnceAndSaysForHowLong) {
  FakePeer& peer = connect();
  peer.send(mutation(1));
  turn();
  EXPECT_THAT(correlations(peer.received), ElementsAre(1));
  EXPECT_EQ(throttle_time_ms(peer.received), 500);
  ASSERT_EQ(quotas_.uses.size(), 1u);
  EXPECT_EQ(quotas_.uses[0].client, "User:ANONYMOUS/test");
  EXPECT_EQ(quotas_.uses[0].request_bytes, mutation(1).size() - 4);
  EXPECT_EQ(quotas_.uses[0].response_bytes, peer.received.size());
}

TEST_F(ThrottleTest, NothingIsReadOrHandledUntilTheTimeIsOver) {
  FakePeer& peer = connect();
  peer.send(mutation(1) + list_groups(2) + list_groups(3));
  turn();
  const int reads = peer.reads;
  peer.send(list_groups(4));
  pass_ms(400);
  EXPECT_THAT(correlations(peer.received), ElementsAre(1)) << "requests received with it wait as well";
  EXPECT_EQ(peer.reads, reads);
  pass_ms(110);
  EXPECT_THAT(correlations(peer.received), ElementsAre(1, 2, 3, 4));
  EXPECT_FALSE(peer.closed);
}

TEST_F(ThrottleTest, OthersAreNotMuted) {
  FakePeer& peer = connect();
  FakePeer& other = connect();
  peer.send(mutation(1));
  other.send(list_groups(2) + exempt(3) + list_groups(4));
  turn();
  EXPECT_THAT(correlations(other.received), ElementsAre(2, 3, 4));
  for (const auto& use : quotas_.uses) EXPECT_NE(use.throttle, ThrottleClass::kExempt);
  EXPECT_EQ(quotas_.uses.size(), 3u);
}

TEST_F(ThrottleTest, WhatIsUnderWayIsAnswered) {
  answer_at_once_ = false;
  FakePeer& peer = connect();
  peer.send(list_groups(1) + mutation(2));
  ASSERT_EQ(held_.size(), 1u);
  turn();
  EXPECT_EQ(peer.received, "");
  answer(std::move(held_[0]));
  held_.clear();
  turn();
  EXPECT_THAT(correlations(peer.received), ElementsAre(1, 2));
}

TEST_F(ThrottleTest, TheLongerTimeCounts) {
  answer_at_once_ = false;
  FakePeer& peer = connect();
  peer.send(list_groups(1) + list_groups(2) + list_groups(3));
  ASSERT_EQ(held_.size(), 3u);
  for (int32_t ms : {300, 1000, 200}) {
    held_.front()->throttle(ms);
    answer(std::move(held_.front()));
    held_.pop_front();
  }
  answer_at_once_ = true;
  peer.send(list_groups(4));
  pass_ms(950);
  EXPECT_THAT(correlations(peer.received), ElementsAre(1, 2, 3));
  pass_ms(60);
  EXPECT_THAT(correlations(peer.received), ElementsAre(1, 2, 3, 4));
}

TEST_F(ThrottleTest, WithoutAnAnswerTheConnectionIsMutedAllTheSame) {
  FakePeer& peer = connect();
  peer.send(unanswered_mutation(1) + list_groups(2));
  pass_ms(400);
  EXPECT_EQ(peer.received, "");
  EXPECT_EQ(quotas_.uses.at(0).response_bytes, 0u);
  pass_ms(110);
  EXPECT_THAT(correlations(peer.received), ElementsAre(2));
}

TEST_F(ThrottleTest, AMutedConnectionThatEndsLeavesNothingBehind) {
  FakePeer& peer = connect();
  peer.send(mutation(1) + list_groups(2));
  turn();
  peer.finish();
  pass_ms(400);
  EXPECT_FALSE(peer.closed) << "it is not read";
  pass_ms(200);
  EXPECT_TRUE(peer.closed);
  EXPECT_EQ(frontend_->connections(), 0u);
  EXPECT_EQ(budget_.used(MemoryShare::kRequests), 0u);
}

TEST_F(ThrottleTest, TheBoundOfIdlenessHoldsForTheMutedAsWell) {
  quotas_.for_ms = 1'000'000;
  FakePeer& peer = connect();
  peer.send(mutation(1) + list_groups(2));
  pass_ms(59'000);
  EXPECT_FALSE(peer.closed);
  pass_ms(3'000);
  EXPECT_TRUE(peer.closed);
  EXPECT_EQ(closed(CloseReason::kIdle), 1);
  EXPECT_EQ(frontend_->connections(), 0u);
}

}  // namespace
}  // namespace weir::broker
