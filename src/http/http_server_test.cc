#include "http/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
  void on_writable() override {}
  std::string ask(std::string text) {
    received.clear();
    const iovec piece{text.data(), text.size()};
    (void)socket_->write({&piece, 1});
    world_.advance(100 * runtime::kMillisecond);
    return received;
  }

  std::string received;
  bool closed = false;

 private:
  testing::ManualLoop& world_;
  std::unique_ptr<runtime::Socket> socket_;
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
  world_.advance(100 * runtime::kSecond);
  EXPECT_EQ(server_->connections(), 0u);
  EXPECT_TRUE(first.closed);
  EXPECT_TRUE(third.closed);
}

TEST_F(HttpServerTest, AnAnswerAfterTheCloseIsDropped) {
  {
    Client client(world_, address_);
    client.ask("GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  world_.advance(runtime::kSecond);
  EXPECT_EQ(server_->connections(), 0u);
  late_({200, "nobody\n"});
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
