// Incoming bytes: frames in any pieces, hostile frames, and other protocols than Kafka's.
#include <gmock/gmock.h>

#include <utility>

#include "base/log.h"
#include "broker/server/connection_fixture.h"
#include "protocol/messages/produce.h"

namespace weir::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Reason = CloseReason;

// Instantiates the cases of the other files as well.
INSTANTIATE_TEST_SUITE_P(Sockets, EitherSocketTest, ::testing::Bool());

TEST_P(EitherSocketTest, TakesARequestByteByByte) {
  FakePeer& peer = connect();
  for (const char c : list_groups(7) + list_groups(8)) {
    peer.send(std::string(1, c));
    turn();
  }
  EXPECT_THAT(correlations(peer.received), ElementsAre(7, 8));
  EXPECT_EQ(budget_.used(MemoryShare::kRequests), 0u);
}

TEST_P(EitherSocketTest, RefusesHostileSizes) {
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

// The log names the setting that bounds a request. It does not say that the client speaks another protocol.
TEST_P(EitherSocketTest, ARequestAboveTheSettingIsNoForeignProtocol) {
  std::string told;
  set_log_sink([&](LogLevel, std::string_view, std::string_view line) { told += line; });
  FakePeer& first = connect();
  first.send(big_endian((100ull << 20) + 1, 4) + "abcdefgh");
  turn();
  EXPECT_THAT(std::exchange(told, {}), HasSubstr("does not speak Kafka's protocol"));
  FakePeer& peer = connect();
  peer.send(list_groups(7));
  turn();
  peer.send(big_endian((100ull << 20) + 1, 4) + "abcdefgh");
  turn();
  set_log_sink({});
  EXPECT_TRUE(peer.closed);
  EXPECT_THAT(told, HasSubstr("a request of 104857601 bytes is larger than socket.request.max.bytes (104857600)"));
  EXPECT_THAT(told, Not(HasSubstr("does not speak")));
}

TEST_P(EitherSocketTest, RecognisesTlsAndHttp) {
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

TEST_P(EitherSocketTest, TellsHttpClientsWhereHttpIsSpoken) {
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

TEST_P(EitherSocketTest, ClosesOnUnknownApisVersionsAndBrokenHeaders) {
  for (const std::string& bytes : {frame(999, 0, 1), frame(-3, 0, 1), frame(16, 50, 1), frame(0, 1, 1),
                                   big_endian(10, 4) + std::string("\0\x10\0\0\0\0\0\1\x7f\xff", 10)}) {
    FakePeer& peer = connect();
    peer.send(list_groups(0) + bytes + list_groups(2));
    turn();
    EXPECT_TRUE(peer.closed);
  }
  EXPECT_EQ(closed(Reason::kProtocol), 5);
}

TEST_P(EitherSocketTest, AMalformedBodyClosesTheConnection) {
  answer_at_once_ = false;
  FakePeer& peer = connect();
  peer.send(produce(1, 4));  // a transactional id of 28,784 bytes, of which two are there
  ASSERT_EQ(held_.size(), 1u);
  protocol::ProduceRequest request;
  EXPECT_FALSE(held_[0]->decode(request));
  turn();
  EXPECT_TRUE(peer.closed);
}

TEST_P(EitherSocketTest, BytesBehindTheBodyAreIgnored) {
  answer_at_once_ = false;
  FakePeer& peer = connect();
  peer.send(frame(16, 0, 1, "left over"));
  ASSERT_EQ(held_.size(), 1u);
  protocol::ListGroupsRequest request;
  EXPECT_TRUE(held_[0]->decode(request));
  turn();
  EXPECT_FALSE(peer.closed);
}

}  // namespace
}  // namespace weir::broker
