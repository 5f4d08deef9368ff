// A connection whose socket stands before another one, as the socket of TLS will: handshakes, and bytes that it keeps.
#include <gmock/gmock.h>

#include "broker/server/connection_fixture.h"

namespace weir::broker {
namespace {

using ::testing::ElementsAre;

class DecoratedSocketTest : public ConnectionTest {
 protected:
  void SetUp() override {
    ConnectionTest::SetUp();
    dispatcher_.add({.key = protocol::ApiKey::kOffsetCommit, .min_version = 2, .max_version = 2, .kind = RequestKind::kChanges},
                    [this](RequestContextPtr context) { held_.push_back(std::move(context)); });
  }
  // Accepts a connection. Its handshake is still to come.
  FakePeer& accept() {
    FakePeer& peer = peers_.emplace_back();
    frontend_->accept(std::make_unique<XorSocket>(std::make_unique<FakeSocket>(peer, "10.0.0.1")), listener_);
    return peer;
  }
  static std::string changed(std::string bytes) {
    for (char& c : bytes) c = static_cast<char>(c ^ XorSocket::kKey);
    return bytes;
  }
  static constexpr std::string_view kWholeHandshake = "HELODONE";
};

TEST_F(DecoratedSocketTest, TheFirstRequestMayComeWithTheHandshake) {
  FakePeer& peer = accept();
  peer.send(std::string(kWholeHandshake) + changed(list_groups(1)));
  turn();
  ASSERT_EQ(peer.received.substr(0, 4), XorSocket::kReply);
  EXPECT_THAT(correlations(changed(peer.received.substr(4))), ElementsAre(1));
}

TEST_F(DecoratedSocketTest, AHandshakeByteByByteReadsNothingBeforeItsEnd) {
  FakePeer& peer = accept();
  for (const char c : kWholeHandshake) {
    peer.send(std::string(1, c));
    turn();
    EXPECT_EQ(budget_.used(MemoryShare::kRequests), 0u);
  }
  for (const char c : changed(list_groups(1))) {
    peer.send(std::string(1, c));
    turn();
  }
  EXPECT_THAT(correlations(changed(peer.received.substr(4))), ElementsAre(1));
}

// The read must write first.
TEST_F(DecoratedSocketTest, AHandshakeThatCannotWriteGoesOnWhenItCan) {
  FakePeer& peer = accept();
  peer.room = 0;
  peer.send(std::string(kWholeHandshake) + changed(list_groups(1)));
  turn();
  EXPECT_GT(peer.to_read.size(), 0u);
  peer.take(3);
  EXPECT_GT(peer.to_read.size(), 0u);
  peer.take(1);
  EXPECT_EQ(peer.to_read.size(), 0u);
  turn();
  peer.take(100);
  EXPECT_THAT(correlations(changed(peer.received.substr(4))), ElementsAre(1));
}

TEST_F(DecoratedSocketTest, AHandshakeThatFailsOrEndsClosesTheConnection) {
  FakePeer& wrong = accept();
  wrong.send("GET / HTTP/1.1\r\n");
  FakePeer& gone = accept();
  gone.send(std::string(XorSocket::kHello));
  gone.finish();
  turn();
  EXPECT_TRUE(wrong.closed);
  EXPECT_TRUE(gone.closed);
  EXPECT_EQ(closed(CloseReason::kIo), 1);
  EXPECT_EQ(closed(CloseReason::kPeer), 1);
  EXPECT_EQ(frontend_->connections(), 0u);
}

TEST_F(DecoratedSocketTest, AHandshakeThatStallsIsIdle) {
  FakePeer& peer = accept();
  peer.send(std::string(XorSocket::kHello));
  world_.advance(11 * 60 * runtime::kSecond);
  EXPECT_TRUE(peer.closed);
  EXPECT_EQ(closed(CloseReason::kIdle), 1);
}

// A write hands the answer to the socket. The peer gets it only later.
TEST_F(DecoratedSocketTest, AHalfClosedConnectionStaysUntilItsSocketKeepsNothing) {
  changed_ = true;
  FakePeer& peer = connect();
  peer.room = 0;
  peer.send(frame(8, 2, 1));
  peer.finish();
  turn();
  ASSERT_EQ(held_.size(), 1u);
  answer(std::move(held_.front()));
  held_.clear();
  turn();
  EXPECT_FALSE(peer.closed);
  peer.take(1000);
  turn();
  EXPECT_THAT(correlations(peer.received), ElementsAre(1));
  EXPECT_TRUE(peer.closed);
}

}  // namespace
}  // namespace weir::broker
