// Some requests of a connection are handled beside earlier ones, and others wait.
#include "broker/server/connection_fixture.h"

namespace weir::broker {
namespace {

class RequestOrderTest : public ConnectionTest {
 protected:
  void SetUp() override {
    ConnectionTest::SetUp();
    answer_at_once_ = false;
    const auto hold = [this](RequestContextPtr context) { held_.push_back(std::move(context)); };
    dispatcher_.add({.key = protocol::ApiKey::kOffsetCommit, .min_version = 2, .max_version = 2, .kind = RequestKind::kChanges},
                    hold);
    dispatcher_.add({.key = protocol::ApiKey::kInitProducerId, .kind = RequestKind::kProduces}, hold);
    dispatcher_.add({.key = protocol::ApiKey::kJoinGroup, .kind = RequestKind::kWaitsForOthers}, hold);
  }
  // Sends requests one after the other on one connection. Their numbers begin with 1.
  void send(const std::string& kinds) {
    std::string bytes;
    for (const char kind : kinds) {
      ++sent_;
      if (kind == 'r') bytes += list_groups(sent_);
      if (kind == 'c') bytes += frame(8, 2, sent_);
      if (kind == 'p') bytes += frame(22, 0, sent_);
      if (kind == 'w') bytes += frame(11, 0, sent_);
    }
    peer_.send(bytes);
    turn();
  }
  // Returns the requests that have begun and have no answer.
  std::vector<int32_t> begun() const {
    std::vector<int32_t> numbers;
    for (const auto& context : held_) numbers.push_back(context->correlation_id());
    return numbers;
  }
  void end(int32_t number) {
    const auto at = std::ranges::find(held_, number, [](const auto& context) { return context->correlation_id(); });
    ASSERT_NE(at, held_.end());
    RequestContextPtr context = std::move(*at);
    held_.erase(at);
    context->no_response();
    context.reset();
    turn();
  }
  using Numbers = std::vector<int32_t>;

  FakePeer& peer_ = peers_.emplace_back();
  int32_t sent_ = 0;
};

TEST_F(RequestOrderTest, WhatFollowsAChangeWaitsForIt) {
  frontend_->accept(std::make_unique<FakeSocket>(peer_, "10.0.0.1"), listener_);
  send("crr");
  EXPECT_EQ(begun(), Numbers{1});
  end(1);
  EXPECT_EQ(begun(), (Numbers{2, 3}));
  send("cc");
  EXPECT_EQ(begun(), (Numbers{2, 3, 4})) << "a change does not wait for those that read";
  end(4);
  EXPECT_EQ(begun(), (Numbers{2, 3, 5})) << "nor for its turn to be answered";
}

TEST_F(RequestOrderTest, ProduceFollowsProduce) {
  frontend_->accept(std::make_unique<FakeSocket>(peer_, "10.0.0.1"), listener_);
  send("pprp");
  EXPECT_EQ(begun(), (Numbers{1, 2}));
  end(2);
  EXPECT_EQ(begun(), Numbers{1});
  end(1);
  EXPECT_EQ(begun(), (Numbers{3, 4}));
  send("cp");
  EXPECT_EQ(begun(), (Numbers{3, 4}));
  end(4);
  EXPECT_EQ(begun(), (Numbers{3, 5}));
  end(5);
  EXPECT_EQ(begun(), (Numbers{3, 6}));
}

TEST_F(RequestOrderTest, NobodyWaitsForOneThatWaitsForOtherClients) {
  frontend_->accept(std::make_unique<FakeSocket>(peer_, "10.0.0.1"), listener_);
  send("wcrw");
  EXPECT_EQ(begun(), (Numbers{1, 2}));
  end(2);
  EXPECT_EQ(begun(), (Numbers{1, 3, 4}));
}

// The peer has closed its own side only. It still gets the answers to its changes.
TEST_F(RequestOrderTest, AHalfClosedConnectionAnswersItsChanges) {
  frontend_->accept(std::make_unique<FakeSocket>(peer_, "10.0.0.1"), listener_);
  send("cr");
  peer_.finish();
  turn();
  EXPECT_FALSE(peer_.closed);
  EXPECT_EQ(begun(), Numbers{1});
  answer(std::move(held_.front()));
  held_.clear();
  turn();
  EXPECT_EQ(correlations(peer_.received), Numbers{1});
  EXPECT_TRUE(peer_.closed) << "nobody waits for the answer of a read";
}

// A change is answered, whichever requests before it on the connection are not.
TEST_F(RequestOrderTest, AHalfClosedConnectionEndsWithItsChanges) {
  frontend_->accept(std::make_unique<FakeSocket>(peer_, "10.0.0.1"), listener_);
  send("wc");
  peer_.finish();
  turn();
  EXPECT_FALSE(peer_.closed);
  end(2);
  EXPECT_TRUE(peer_.closed);
}

// The client may ask again elsewhere.
TEST_F(RequestOrderTest, NothingBeginsOnceTheBrokerStops) {
  frontend_->accept(std::make_unique<FakeSocket>(peer_, "10.0.0.1"), listener_);
  send("cr");
  frontend_->drain();
  end(1);
  EXPECT_EQ(begun(), Numbers{});
}

TEST_F(RequestOrderTest, OneThatWaitsEndsWithItsConnection) {
  frontend_->accept(std::make_unique<FakeSocket>(peer_, "10.0.0.1"), listener_);
  send("cr");
  held_.front()->close("the test says so");
  held_.clear();
  turn();
  EXPECT_TRUE(peer_.closed);
  EXPECT_EQ(begun(), Numbers{});
}

TEST_F(RequestOrderTest, WaitingForOthersOfTheConnectionIsNoTimeOfItsOwn) {
  frontend_->accept(std::make_unique<FakeSocket>(peer_, "10.0.0.1"), listener_);
  send("crr");
  world_.advance(10 * runtime::kSecond);
  end(1);
  end(2);
  end(3);
  EXPECT_EQ(metrics_.slow_requests.total(), 1);
  send("rr");
  end(5);  // is sent once the other one is
  world_.advance(10 * runtime::kSecond);
  end(4);
  EXPECT_EQ(metrics_.slow_requests.total(), 2);
}

}  // namespace
}  // namespace weir::broker
