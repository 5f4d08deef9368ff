#include "http/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "testing/manual_loop.h"

namespace weir::http {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// A client over the simulated network.
class Client : public runtime::Socket::Handler {
 public:
  Client(testing::ManualLoop& world, const runtime::Endpoint& address) : world_(world) {
    world.loop().connect(address, [this](Result<std::unique_ptr<runtime::Socket>> socket) {
      ASSERT_TRUE(socket);
      socket_ = std::move(*socket);
      socket_->set_handler(this);
    });
    world.advance(100 * runtime::kMillisecond);
  }
  void on_readable() override {
    for (;;) {
      uint8_t bytes[1024];
      const runtime::IoResult result = socket_->read(bytes);
      if (result.status == runtime::IoResult::Status::kClosed) closed = true;
      if (result.status != runtime::IoResult::Status::kOk || result.bytes == 0) return;
      received.append(reinterpret_cast<char*>(bytes), result.bytes);
    }
  }
  void on_writable() override {
    while (!unsent_.empty()) {
      const iovec piece{unsent_.data(), unsent_.size()};
      const runtime::IoResult result = socket_->write({&piece, 1});
      if (result.status != runtime::IoResult::Status::kOk) return;
      unsent_.erase(0, result.bytes);
    }
  }
  std::string ask(std::string_view text) {
    received.clear();
    unsent_ += text;
    on_writable();
    world_.advance(100 * runtime::kMillisecond);
    return received;
  }

  std::string received;
  bool closed = false;

 private:
  testing::ManualLoop& world_;
  std::unique_ptr<runtime::Socket> socket_;
  std::string unsent_;
};

class HttpServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_ = std::make_unique<HttpServer>(world_.loop(), HttpServer::Options{.max_connections = 2});
    server_->get("/hello", [](Respond respond) { respond({200, "hello\n"}); });
    server_->get("/late", [this](Respond respond) { late_ = std::move(respond); });
    auto address = server_->listen({"127.0.0.1", 0});
    ASSERT_TRUE(address);
    address_ = *address;
  }
  testing::ManualLoop world_;
  std::unique_ptr<HttpServer> server_;
  runtime::Endpoint address_;
  Respond late_;
};

TEST_F(HttpServerTest, AnswersAndKeepsTheConnection) {
  Client client(world_, address_);
  for (int i = 0; i < 3; ++i) {
    const std::string answer = client.ask("GET /hello?x=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(answer, HasSubstr("Content-Length: 6\r\n"));
    EXPECT_THAT(answer, HasSubstr("\r\n\r\nhello\n"));
  }
  EXPECT_FALSE(client.closed);
  client.ask("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(client.closed);
}

TEST_F(HttpServerTest, RefusesOtherMethodsAndPaths) {
  Client client(world_, address_);
  EXPECT_THAT(client.ask("GET /other HTTP/1.1\r\nHost: a\r\n\r\n"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(client.ask("DELETE /hello HTTP/1.1\r\nHost: a\r\n\r\n"), StartsWith("HTTP/1.1 405 "));
  const std::string head = client.ask("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("Content-Length: 6\r\n"));
  EXPECT_EQ(head.find("hello\n"), std::string::npos);
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrder) {
  Client client(world_, address_);
  client.ask("GET /late HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(client.received, "");
  late_({200, "late\n"});
  world_.advance(100 * runtime::kMillisecond);
  EXPECT_LT(client.received.find("late\n"), client.received.find("hello\n"));
  EXPECT_THAT(client.received, HasSubstr("hello\n"));
}

TEST_F(HttpServerTest, ClosesOnGarbageAndEndlessHeaders) {
  Client garbage(world_, address_);
  EXPECT_THAT(garbage.ask("\x16\x03\x01 nonsense\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_TRUE(garbage.closed);
  Client endless(world_, address_);
  for (int i = 0; i < 40 && !endless.closed; ++i) {
    endless.ask((i ? "" : "GET /hello HTTP/1.1\r\n") + std::string("X: ") + std::string(1000, 'x') + "\r\n");
  }
  EXPECT_TRUE(endless.closed);
}

TEST_F(HttpServerTest, BoundsConnectionsAndClosesIdleOnes) {
  Client first(world_, address_);
  Client second(world_, address_);
  Client third(world_, address_);
  EXPECT_EQ(server_->connections(), 2u);
  EXPECT_TRUE(first.closed) << "the oldest makes room";
  EXPECT_FALSE(third.closed);
  world_.advance(100 * runtime::kSecond);
  EXPECT_EQ(server_->connections(), 0u);
  EXPECT_TRUE(second.closed);
  EXPECT_TRUE(third.closed);
}

TEST_F(HttpServerTest, DripsDoNotKeepAProbeAway) {
  Client one(world_, address_);
  Client two(world_, address_);
  for (const char c : std::string("GET /hello")) {
    one.ask(std::string(1, c));
    two.ask(std::string(1, c));
  }
  Client probe(world_, address_);
  EXPECT_THAT(probe.ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"), HasSubstr("hello\n"));
}

TEST_F(HttpServerTest, WhoIsOwedAnAnswerStaysWhileOthersCome) {
  Client owed(world_, address_);
  owed.ask("GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
  for (int i = 0; i < 3; ++i) Client drip(world_, address_);
  late_({200, "late\n"});
  world_.advance(100 * runtime::kMillisecond);
  EXPECT_THAT(owed.received, HasSubstr("late\n"));
}

TEST_F(HttpServerTest, AHeaderHasADeadlineHoweverItsBytesDrip) {
  Client drip(world_, address_);
  for (int i = 0; i < 15 && !drip.closed; ++i) {
    drip.ask(i ? "x" : "GET /");
    world_.advance(runtime::kSecond);
  }
  EXPECT_TRUE(drip.closed);
}

TEST_F(HttpServerTest, RequestsOneAfterTheOtherHaveEachTheirTime) {
  Client client(world_, address_);
  for (int i = 0; i < 15; ++i) {
    client.ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    world_.advance(2 * runtime::kSecond);
    EXPECT_THAT(client.received, HasSubstr("hello\n"));
  }
  EXPECT_FALSE(client.closed);
}

TEST_F(HttpServerTest, RefusesNamesOfOtherSites) {
  Client client(world_, address_);
  const std::string answer = client.ask("GET /hello HTTP/1.1\r\nHost: evil.example.com:9644\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 421 "));
  EXPECT_THAT(answer, HasSubstr("weir.http.host.names"));
  EXPECT_THAT(client.ask("GET /hello HTTP/1.1\r\nHost: 10.0.0.7:9644\r\n\r\n"), HasSubstr("hello\n"));
  EXPECT_THAT(client.ask("GET /hello HTTP/1.0\r\n\r\n"), HasSubstr("hello\n")) << "HTTP/1.0 names no host";
  Client nameless(world_, address_);
  EXPECT_THAT(nameless.ask("GET /hello HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
}

TEST_F(HttpServerTest, TakesATargetWithItsHost) {
  Client client(world_, address_);
  EXPECT_THAT(client.ask("GET http://10.0.0.7:9644/hello?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"), HasSubstr("hello\n"));
  EXPECT_THAT(client.ask("GET HTTP://localhost/hello HTTP/1.1\r\nHost: evil.example.com\r\n\r\n"), HasSubstr("hello\n"))
      << "the target counts";
  EXPECT_THAT(client.ask("GET http://evil.example.com/hello HTTP/1.1\r\nHost: a\r\n\r\n"), StartsWith("HTTP/1.1 421 "));
  EXPECT_THAT(client.ask("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n"), StartsWith("HTTP/1.1 404 ")) << "the path is /";
  for (const char* wrong : {"GET http:///hello HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://u@a/hello HTTP/1.1\r\nHost: a\r\n\r\n",
                            "GET http://a/hello HTTP/1.1\r\n\r\n", "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"}) {
    Client each(world_, address_);
    EXPECT_THAT(each.ask(wrong), StartsWith("HTTP/1.1 400 ")) << wrong;
  }
}

TEST_F(HttpServerTest, AnAnswerAfterTheCloseIsDropped) {
  {
    Client client(world_, address_);
    client.ask("GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  world_.advance(runtime::kSecond);
  late_({200, "nobody\n"});
  world_.advance(runtime::kSecond);
  EXPECT_EQ(server_->connections(), 0u);
}

// As probes do that end their sending side behind the request (`nc -N`).
TEST_F(HttpServerTest, WhoHasClosedItsSideGetsItsAnswers) {
  struct HalfClosed final : runtime::Socket {
    explicit HalfClosed(std::string text) : request(std::move(text)) {}
    void set_handler(Handler* /*handler*/) override {}
    runtime::IoResult read(MutableBytes into) override {
      if (request.empty()) return {runtime::IoResult::Status::kClosed, 0, 0};
      const size_t size = std::min(into.size(), request.size());
      std::copy_n(request.data(), size, into.data());
      request.erase(0, size);
      return {runtime::IoResult::Status::kOk, size, 0};
    }
    runtime::IoResult write(std::span<const iovec> pieces) override {
      sent->append(static_cast<const char*>(pieces[0].iov_base), pieces[0].iov_len);
      return {runtime::IoResult::Status::kOk, pieces[0].iov_len, 0};
    }
    const runtime::Endpoint& local() const override { return endpoint; }
    const runtime::Endpoint& peer() const override { return endpoint; }
    std::string request;
    std::shared_ptr<std::string> sent = std::make_shared<std::string>();
    runtime::Endpoint endpoint;
  };
  const auto body = std::make_shared<const std::string>(1'000'000, 'x');
  server_->get("/large", [&](Respond respond) { respond({200, {}, "text/plain", body}); });
  const std::string host = " HTTP/1.1\r\nHost: a\r\n\r\n";
  // The last read takes a whole buffer, so that the end of the stream is read at once.
  std::string requests = "GET /late" + host + "GET /large" + host + "GET /hello?";
  const std::string cut = "GET /never";
  requests += std::string(4096 - requests.size() - host.size() - cut.size(), 'q') + host + cut;
  auto socket = std::make_unique<HalfClosed>(requests);
  const auto sent = socket->sent;
  server_->accept(std::move(socket));
  world_.advance(runtime::kSecond);
  EXPECT_EQ(*sent, "");
  ASSERT_EQ(server_->connections(), 1u);
  late_({200, "late\n"});
  world_.advance(runtime::kSecond);
  EXPECT_THAT(*sent, HasSubstr("\r\n\r\nlate\nHTTP/1.1 200 OK"));
  EXPECT_THAT(*sent, ::testing::EndsWith(
                         "xHTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 6\r\n\r\nhello\n"));
  EXPECT_EQ(server_->connections(), 0u) << "the rest is no request";
}

TEST_F(HttpServerTest, LargeBodiesAreSentInPiecesAndInOrder) {
  std::string large(3'000'000, 'x');
  for (size_t i = 0; i < large.size(); i += 1000) large[i] = static_cast<char>('a' + i / 1000 % 26);
  const auto body = std::make_shared<const std::string>(large);
  server_->get("/large", [&](Respond respond) { respond({200, {}, "text/plain", body}); });
  Client client(world_, address_);
  const std::string request = "GET /large HTTP/1.1\r\nHost: a\r\n\r\n";
  client.ask(request + request + "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
  world_.advance(20 * runtime::kSecond);
  for (int i = 0; i < 2; ++i) {
    const size_t head = client.received.find("\r\n\r\n");
    ASSERT_NE(head, std::string::npos);
    EXPECT_THAT(client.received.substr(0, head), HasSubstr("Content-Length: 3000000"));
    ASSERT_GE(client.received.size(), head + 4 + large.size());
    EXPECT_EQ(client.received.compare(head + 4, large.size(), large), 0);
    client.received.erase(0, head + 4 + large.size());
  }
  EXPECT_THAT(client.received, StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(body.use_count(), 1) << "nobody keeps what was sent";
}

}  // namespace
}  // namespace weir::http
