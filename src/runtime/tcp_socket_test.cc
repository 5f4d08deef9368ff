#include "runtime/tcp_socket.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include "base/log.h"
#include "runtime/runtime_fixture.h"

namespace weir::runtime {
namespace {

std::vector<uint8_t> pattern(size_t size, uint64_t from = 0) {
  std::vector<uint8_t> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(((from + i) * 2654435761u) >> 13);
  return bytes;
}

// A connection's end as a server has it: keeps what it reads, sends what it was given as the socket takes it.
class Peer : public Socket::Handler {
 public:
  explicit Peer(std::unique_ptr<Socket> s, size_t read_size = 16384) : socket(std::move(s)), chunk(read_size) {
    socket->set_handler(this);
  }
  void on_readable() override {
    ++readable_calls;
    if (paused) return;
    for (;;) {
      const IoResult result = socket->read(chunk);
      if (result.status == IoResult::Status::kOk) {
        received.insert(received.end(), chunk.begin(), chunk.begin() + static_cast<ptrdiff_t>(result.bytes));
        if (result.bytes == chunk.size()) continue;  // perhaps more
      }
      if (result.status == IoResult::Status::kClosed || result.status == IoResult::Status::kError) {
        last = result;
        if (on_end) std::exchange(on_end, nullptr)();
      }
      break;
    }
    if (on_data) on_data();
  }
  void on_writable() override {
    ++writable_calls;
    flush();
  }
  void send(std::vector<uint8_t> bytes) {
    to_send = std::move(bytes);
    sent = 0;
    flush();
  }
  void flush() {
    while (sent < to_send.size()) {
      const iovec piece{to_send.data() + sent, to_send.size() - sent};
      const IoResult result = socket->write(std::span(&piece, 1));
      if (result.status != IoResult::Status::kOk) {
        if (result.status != IoResult::Status::kWouldBlock) last = result;
        return;
      }
      sent += result.bytes;
      if (result.bytes < piece.iov_len) return;
    }
    if (on_sent) std::exchange(on_sent, nullptr)();
  }

  std::unique_ptr<Socket> socket;
  std::vector<uint8_t> chunk;
  std::vector<uint8_t> received;
  std::vector<uint8_t> to_send;
  size_t sent = 0;
  bool paused = false;
  int readable_calls = 0;
  int writable_calls = 0;
  IoResult last;
  Function<void()> on_data, on_end, on_sent;
};

class TcpSocketTest : public RuntimeTest {
 protected:
  ~TcpSocketTest() override {
    // Even if a test failed half way: sockets go before the runtime, after its threads.
    runtime_.stop();
    server_.reset();
    client_.reset();
    listener_.reset();
  }
  // A connection from loop 1 (client_) to loop 0 (server_).
  void connect_pair(const std::string& host = "127.0.0.1", size_t read_size = 16384) {
    std::promise<void> accepted;
    std::promise<Result<void>> connected;
    const Result<Endpoint> address = on_loop(0, [&]() -> Result<Endpoint> {
      auto listener = loop(0).listen({host, 0}, [&, read_size](std::unique_ptr<Socket> socket) {
        server_ = std::make_unique<Peer>(std::move(socket), read_size);
        accepted.set_value();
      });
      if (!listener) return std::unexpected(listener.error());
      listener_ = std::move(*listener);
      return listener_->address();
    });
    ASSERT_TRUE(address) << address.error().message;
    loop(1).post([&, this] {
      loop(1).connect(*address, [&](Result<std::unique_ptr<Socket>> socket) {
        if (!socket) return connected.set_value(std::unexpected(socket.error()));
        client_ = std::make_unique<Peer>(std::move(*socket), read_size);
        connected.set_value({});
      });
    });
    const Result<void> result = connected.get_future().get();
    ASSERT_TRUE(result) << result.error().message;
    accepted.get_future().wait();
  }
  // Waits for `count` bytes at a peer.
  void expect_bytes(size_t loop_index, Peer& peer, const std::vector<uint8_t>& expected) {
    std::promise<void> complete;
    loop(loop_index).post([&] {
      bool told = false;
      peer.on_data = [&, told]() mutable {
        if (!told && peer.received.size() >= expected.size()) {
          told = true;
          complete.set_value();
        }
      };
      peer.on_data();
    });
    ASSERT_EQ(complete.get_future().wait_for(std::chrono::seconds(60)), std::future_status::ready)
        << "got " << peer.received.size() << " of " << expected.size();
    on_loop(loop_index, [&] {
      peer.on_data = nullptr;
      EXPECT_TRUE(peer.received == expected);
    });
  }

  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Peer> server_, client_;
};

TEST_F(TcpSocketTest, SmallMessagesBothWays) {
  connect_pair();
  on_loop(1, [&] { client_->send(pattern(100)); });
  expect_bytes(0, *server_, pattern(100));
  on_loop(0, [&] { server_->send(pattern(50, 7)); });
  expect_bytes(1, *client_, pattern(50, 7));
  on_loop(0, [&] {
    EXPECT_EQ(server_->socket->local(), listener_->address());
    EXPECT_EQ(server_->writable_calls, 0) << "nothing was refused, so nothing is to be announced";
  });
  on_loop(1, [&] { EXPECT_EQ(client_->socket->peer(), listener_->address()); });
}

TEST_F(TcpSocketTest, LargeTransfersInBothDirectionsWithPartialWrites) {
  connect_pair();
  constexpr size_t kSize = 64 << 20;
  const auto up = pattern(kSize);
  const auto down = pattern(kSize, 99);
  loop(1).post([&] { client_->send(up); });
  loop(0).post([&] { server_->send(down); });
  expect_bytes(0, *server_, up);
  expect_bytes(1, *client_, down);
  on_loop(1, [&] { EXPECT_GT(client_->writable_calls, 0) << "the test was to fill the socket"; });
}

TEST_F(TcpSocketTest, APausedReaderGoesOnWhereItStopped) {
  connect_pair();
  const auto bytes = pattern(8 << 20);
  on_loop(0, [&] { server_->paused = true; });
  on_loop(1, [&] { client_->send(bytes); });
  on_loop(0, [&] {
    EXPECT_TRUE(server_->received.empty());
    server_->paused = false;
    server_->on_readable();
  });
  expect_bytes(0, *server_, bytes);
}

// Data and the end of the stream in one event: the short read must not hide the end.
TEST_F(TcpSocketTest, TheEndIsSeenEvenIfItCameWithTheLastData) {
  for (int i = 0; i < 100; ++i) {
    connect_pair();
    std::promise<void> ended;
    // Loop 0 is busy while both arrive.
    loop(0).post([&] {
      server_->on_end = [&] { ended.set_value(); };
      on_loop(1, [&] {
        client_->send(pattern(100));
        client_.reset();
      });
    });
    ASSERT_EQ(ended.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
    on_loop(0, [&] {
      EXPECT_TRUE(server_->received == pattern(100));
      EXPECT_EQ(server_->last.status, IoResult::Status::kClosed);
      server_.reset();
      listener_.reset();
    });
  }
}

TEST_F(TcpSocketTest, WritingToAClosedConnectionFailsWithoutASignal) {
  connect_pair();
  std::promise<void> ended;
  loop(0).post([&] {
    server_->on_end = [&] { ended.set_value(); };
    on_loop(1, [&] { client_.reset(); });
  });
  ended.get_future().wait();
  TemporaryFolder folder;
  auto file = files().open(folder.path("f"), {.write = true, .create = true});
  ASSERT_TRUE((*file)->write_at(0, Bytes(pattern(4096))));
  on_loop(0, [&] {
    IoResult result;
    for (int i = 0; i < 1000 && result.status == IoResult::Status::kOk; ++i) {
      const auto bytes = pattern(10);
      const iovec piece{const_cast<uint8_t*>(bytes.data()), bytes.size()};
      result = server_->socket->write(std::span(&piece, 1));
    }
    EXPECT_NE(result.status, IoResult::Status::kOk);
    EXPECT_NE(result.status, IoResult::Status::kWouldBlock);
    result = server_->socket->send_file(**file, 0, 4096);  // would raise SIGPIPE in an unprepared thread
    EXPECT_EQ(result.status, IoResult::Status::kClosed);
  });
}

TEST_F(TcpSocketTest, ManyPiecesAreGathered) {
  connect_pair();
  const auto bytes = pattern(5000 * 3);
  struct Sender : Socket::Handler {
    void on_readable() override {}
    void on_writable() override {
      while (next < pieces.size()) {
        const IoResult result = socket->write(std::span(pieces).subspan(next));
        if (result.status != IoResult::Status::kOk) return;
        next += result.bytes / 3;          // the socket is large enough to take whole pieces
        if (next < pieces.size()) return;  // fewer than asked: wait for the announcement
      }
    }
    std::unique_ptr<Socket> socket;
    std::vector<iovec> pieces;
    size_t next = 0;
  } sender;
  for (size_t i = 0; i < 5000; ++i) sender.pieces.push_back({const_cast<uint8_t*>(&bytes[i * 3]), 3});
  on_loop(1, [&] {
    sender.socket = std::move(client_->socket);
    sender.socket->set_handler(&sender);
    sender.on_writable();
    EXPECT_EQ(sender.next, 1024u);
  });
  expect_bytes(0, *server_, bytes);
  on_loop(1, [&] { sender.socket.reset(); });
}

TEST_F(TcpSocketTest, SendFile) {
  connect_pair();
  TemporaryFolder folder;
  constexpr size_t kSize = 24 << 20;
  const auto bytes = pattern(kSize);
  auto file = files().open(folder.path("segment"), {.write = true, .create = true});
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->write_at(0, Bytes(bytes)));
  struct FileSender : Socket::Handler {
    void on_readable() override {}
    void on_writable() override {
      while (position < end) {
        const IoResult result = socket->send_file(*file, position, end - position);
        if (result.status != IoResult::Status::kOk) return;
        position += result.bytes;
      }
    }
    std::unique_ptr<Socket> socket;
    File* file = nullptr;
    size_t position = 1000;
    size_t end = kSize - 1000;
  } sender;
  sender.file = file->get();
  on_loop(1, [&] {
    sender.socket = std::move(client_->socket);
    sender.socket->set_handler(&sender);
    sender.on_writable();
  });
  expect_bytes(0, *server_, {bytes.begin() + 1000, bytes.end() - 1000});
  on_loop(1, [&] {
    const IoResult beyond = sender.socket->send_file(*sender.file, kSize, 10);
    EXPECT_EQ(beyond.status, IoResult::Status::kError);
    sender.socket.reset();
  });
}

TEST_F(TcpSocketTest, AFileShorterThanTheRangeIsAnErrorAndNoEndlessWait) {
  connect_pair();
  TemporaryFolder folder;
  auto file = files().open(folder.path("segment"), {.write = true, .create = true});
  ASSERT_TRUE((*file)->write_at(0, Bytes(pattern(5000))));
  struct FileSender : Socket::Handler {
    void on_readable() override {}
    void on_writable() override {
      const IoResult result = socket->send_file(*file, sent, 10'000 - sent);
      if (result.status == IoResult::Status::kError) return failed.set_value(result.os_errno);
      sent += result.bytes;
    }
    std::unique_ptr<Socket> socket;
    File* file = nullptr;
    size_t sent = 0;
    std::promise<int> failed;
  } sender;
  sender.file = file->get();
  on_loop(1, [&] {
    sender.socket = std::move(client_->socket);
    sender.socket->set_handler(&sender);
    sender.on_writable();
  });
  auto failed = sender.failed.get_future();
  ASSERT_EQ(failed.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_EQ(failed.get(), ENODATA);
  on_loop(1, [&] { sender.socket.reset(); });
}

TEST_F(TcpSocketTest, AHandlerMayCloseItsSocketInsideACall) {
  connect_pair();
  struct Closer : Socket::Handler {
    void on_readable() override {
      socket.reset();
      closed.set_value();
    }
    void on_writable() override { FAIL(); }
    std::unique_ptr<Socket> socket;
    std::promise<void> closed;
  } closer;
  std::promise<void> client_ended;
  on_loop(1, [&] { client_->on_end = [&] { client_ended.set_value(); }; });
  on_loop(0, [&] {
    closer.socket = std::move(server_->socket);
    closer.socket->set_handler(&closer);
  });
  on_loop(1, [&] { client_->send(pattern(10)); });
  closer.closed.get_future().wait();
  client_ended.get_future().wait();
}

TEST_F(TcpSocketTest, Ipv6) { connect_pair("::1"); }

TEST_F(TcpSocketTest, HostNamesAreResolved) {
  connect_pair("localhost");
  std::promise<bool> connected;
  const uint16_t port = on_loop(0, [&] { return listener_->address().port; });
  on_loop(0, [&] { listener_.reset(); });
  const Result<Endpoint> bound = on_loop(0, [&]() -> Result<Endpoint> {
    auto listener = loop(0).listen({"", port}, [](std::unique_ptr<Socket>) {});
    if (!listener) return std::unexpected(listener.error());
    listener_ = std::move(*listener);
    return listener_->address();
  });
  ASSERT_TRUE(bound) << bound.error().message;
  loop(1).post([&] {
    loop(1).connect({"localhost", port},
                    [&](Result<std::unique_ptr<Socket>> socket) { connected.set_value(socket.has_value()); });
  });
  EXPECT_TRUE(connected.get_future().get());
}

TEST_F(TcpSocketTest, ConnectReportsFailures) {
  const auto connect_error = [&](const Endpoint& target) {
    std::promise<Error> failed;
    loop(1).post([&] {
      loop(1).connect(target, [&](Result<std::unique_ptr<Socket>> socket) {
        failed.set_value(socket ? Error{.message = "connected"} : socket.error());
      });
    });
    return failed.get_future().get();
  };
  const uint16_t port = on_loop(0, [&] { return (*loop(0).listen({"127.0.0.1", 0}, {}))->address().port; });
  EXPECT_EQ(connect_error({"127.0.0.1", port}).os_errno, ECONNREFUSED);
  EXPECT_NE(connect_error({"no-such-host.invalid", 1}).message.find("no-such-host.invalid"), std::string::npos);
}

TEST_F(TcpSocketTest, SeveralLoopsListenOnOneAddressButNoOtherProcessDoes) {
  const auto listen = [&](size_t index, uint16_t port) {
    return on_loop(index, [&] { return loop(index).listen({"127.0.0.1", port}, [](std::unique_ptr<Socket>) {}); });
  };
  auto first = listen(0, 0);
  ASSERT_TRUE(first);
  const uint16_t port = (*first)->address().port;
  auto second = listen(1, port);
  ASSERT_TRUE(second) << second.error().message;

  RealRuntime other({.loops = 1, .pool_threads = 1});
  const auto refused = other.loop(0).listen({"127.0.0.1", port}, [](std::unique_ptr<Socket>) {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().os_errno, EADDRINUSE);

  on_loop(0, [&] { first->reset(); });
  on_loop(1, [&] { second->reset(); });
  EXPECT_TRUE(other.loop(0).listen({"127.0.0.1", port}, [](std::unique_ptr<Socket>) {}));
}

TEST_F(TcpSocketTest, APausedListenerAcceptsLater) {
  std::vector<std::unique_ptr<Socket>> accepted;
  const Endpoint address = on_loop(0, [&] {
    auto listener = loop(0).listen({"127.0.0.1", 0}, [&](std::unique_ptr<Socket> s) { accepted.push_back(std::move(s)); });
    listener_ = std::move(*listener);
    listener_->pause(true);
    return listener_->address();
  });
  std::promise<std::unique_ptr<Socket>> connected;
  loop(1).post([&] { loop(1).connect(address, [&](Result<std::unique_ptr<Socket>> s) { connected.set_value(std::move(*s)); }); });
  auto client = connected.get_future().get();
  EXPECT_EQ(on_loop(0, [&] { return accepted.size(); }), 0u);
  on_loop(0, [&] { listener_->pause(false); });
  // Each round trip is a turn; the event is there in the first one, whatever the order of the descriptors.
  while (on_loop(0, [&] { return accepted.size(); }) == 0) {
  }
  on_loop(0, [&] { accepted.clear(); });
  on_loop(1, [&] { client.reset(); });
}

TEST_F(TcpSocketTest, OutOfDescriptorsIsWaitedOutAndLoggedOnce) {
  std::atomic<int> lines = 0;
  set_log_sink([&](LogLevel, std::string_view, std::string_view message) {
    if (message.find("ulimit") != std::string_view::npos) ++lines;
  });
  std::promise<void> accepted;
  std::unique_ptr<Socket> server;
  const Endpoint address = on_loop(0, [&] {
    listener_ = std::move(*loop(0).listen({"127.0.0.1", 0}, [&](std::unique_ptr<Socket> s) {
      server = std::move(s);
      accepted.set_value();
    }));
    return listener_->address();
  });
  std::promise<std::unique_ptr<Socket>> connected;
  rlimit saved{};
  ::getrlimit(RLIMIT_NOFILE, &saved);
  // The client's socket takes the last descriptor that is allowed.
  const int lowest_free = ::dup(0);
  ::close(lowest_free);
  const rlimit tight{static_cast<rlim_t>(lowest_free) + 1, saved.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &tight);
  loop(1).post([&] { loop(1).connect(address, [&](Result<std::unique_ptr<Socket>> s) { connected.set_value(std::move(*s)); }); });
  auto client = connected.get_future().get();
  std::promise<void> waited;
  loop(0).post([&] { loop(0).schedule_after(350 * kMillisecond, [&] { waited.set_value(); }); });
  waited.get_future().wait();
  ::setrlimit(RLIMIT_NOFILE, &saved);
  EXPECT_EQ(accepted.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_EQ(lines, 1);
  on_loop(0, [&] { server.reset(); });
  on_loop(1, [&] { client.reset(); });
  set_log_sink({});
}

}  // namespace
}  // namespace weir::runtime
