#include "testing/sim_runtime.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <string>

#include "base/crc32c.h"
#include "testing/temp_dir.h"

namespace weir::testing {
namespace {

using runtime::Endpoint;
using runtime::IoResult;
using runtime::kMillisecond;
using runtime::kSecond;

// Reads until it would block, as the contract asks. Sends back the bytes it got, or the bytes the test gave it.
class Peer final : public runtime::Socket::Handler {
 public:
  Peer(std::unique_ptr<runtime::Socket> socket, bool echo) : socket_(std::move(socket)), echo_(echo) {
    socket_->set_handler(this);
  }
  void send(const std::string& bytes) {
    out_ += bytes;
    on_writable();
  }
  void on_readable() override {
    std::vector<uint8_t> chunk(1500);
    while (true) {
      const IoResult got = socket_->read(chunk);
      if (got.status == IoResult::Status::kClosed) closed = true;
      if (got.status == IoResult::Status::kError) failed = true;
      if (got.status != IoResult::Status::kOk) return;
      const auto bytes = as_string(Bytes(chunk).first(got.bytes));
      received += bytes;
      if (echo_) send(std::string(bytes));
      if (got.bytes < chunk.size()) return;
    }
  }
  void on_writable() override {
    while (!out_.empty()) {
      const iovec piece{out_.data(), out_.size()};
      const IoResult sent = socket_->write({&piece, 1});
      if (sent.status == IoResult::Status::kError) failed = true;
      if (sent.status != IoResult::Status::kOk) return;
      const bool full = sent.bytes < out_.size();
      out_.erase(0, sent.bytes);
      if (full) return;
    }
  }
  std::string received;
  bool closed = false;
  bool failed = false;

 private:
  std::unique_ptr<runtime::Socket> socket_;
  bool echo_;
  std::string out_;
};

// A small server that echoes, keeps a log in a file without a DurableWriter, and uses timers and the pool.
struct EchoServer {
  explicit EchoServer(runtime::Runtime world_in, uint16_t port = 9092) : world(std::move(world_in)) {
    for (runtime::Loop* loop : world.loops) {
      listeners.push_back(loop->listen({"0.0.0.0", port},
                                       [this](std::unique_ptr<runtime::Socket> socket) {
                                         peers.push_back(std::make_unique<Peer>(std::move(socket), true));
                                       })
                              .value());
    }
    tick();
  }
  void tick() {
    runtime::Loop& loop = *world.loops[0];
    world.pool->submit(
        [this] {
          auto file = world.files->open("/log", {.write = true, .create = true});
          if (!file) return;
          const uint64_t word = written++;
          (void)(*file)->write_at(word * 8, as_bytes(std::to_string(word)));
          (void)(*file)->sync();
        },
        loop, [this, &loop] { loop.schedule_after(3 * kMillisecond, [this] { tick(); }); }, 1);
  }
  runtime::Runtime world;
  std::vector<std::unique_ptr<runtime::Listener>> listeners;
  std::vector<std::unique_ptr<Peer>> peers;
  uint64_t written = 0;
};

std::string text(size_t size, uint64_t seed) {
  SeededRandom random(seed);
  std::string bytes(size, 0);
  for (char& c : bytes) c = static_cast<char>('a' + random.below(26));
  return bytes;
}

struct Conversation {
  explicit Conversation(uint64_t seed, SimRuntime::Options options = {.loops = 2}) : sim(seed, options) {
    server = std::make_unique<EchoServer>(sim.runtime());
    message = text(100'000, seed);
  }
  void connect() {
    sim.client_loop().connect({"localhost", 9092}, [this](Result<std::unique_ptr<runtime::Socket>> socket) {
      refused = !socket;
      if (refused) return;
      clients.push_back(std::make_unique<Peer>(std::move(*socket), false));
      clients.back()->send(message);
    });
  }
  bool all_answered() const {
    return std::all_of(clients.begin(), clients.end(), [&](auto& c) { return c->received == message; });
  }
  SimRuntime sim;
  std::unique_ptr<EchoServer> server;
  std::vector<std::unique_ptr<Peer>> clients;
  std::string message;
  bool refused = false;
};

TEST(SimRuntime, BytesArriveCompleteAndInOrder) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    Conversation talk(seed);
    for (int i = 0; i < 3; ++i) talk.connect();
    const auto stop = talk.sim.run_until([&] { return talk.clients.size() == 3 && talk.all_answered(); }, 60 * kSecond);
    ASSERT_EQ(stop, SimRuntime::Stop::kDone) << "seed " << seed;
  }
}

TEST(SimRuntime, SameSeedSameTrace) {
  const auto run = [](uint64_t seed) {
    Conversation talk(seed);
    talk.connect();
    talk.connect();
    talk.sim.run_for(kSecond);
    talk.sim.end_server(Death::kPowerCut);
    talk.server.reset();
    talk.sim.start_server();
    talk.server = std::make_unique<EchoServer>(talk.sim.runtime());
    talk.sim.run_for(kSecond);
    return std::pair(talk.sim.trace_hash(), talk.sim.events_run());
  };
  const auto first = run(7);
  std::vector<std::unique_ptr<std::string>> heap_noise;  // other addresses must not matter
  for (int i = 0; i < 100; ++i) heap_noise.push_back(std::make_unique<std::string>(1000 + 100 * i, 'x'));
  EXPECT_EQ(run(7), first);
  EXPECT_NE(run(8), first);
  EXPECT_GT(first.second, 1000u);
}

TEST(SimRuntime, PostedTasksKeepTheirOrderAndTimersAreNeverEarly) {
  SimRuntime sim(5, {.loops = 2});
  std::vector<int> order;
  sim.loop(0).post([&] {
    EXPECT_TRUE(sim.loop(0).in_loop());
    EXPECT_FALSE(sim.loop(1).in_loop());
    for (int i = 0; i < 50; ++i) sim.loop(1).post([&order, i] { order.push_back(i); });
  });
  const int64_t start_ns = sim.now_ns();
  int64_t fired_ns = 0;
  sim.loop(0).schedule_after(500'000, [&] { fired_ns = sim.now_ns(); });
  sim.run_until_idle();
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(order.size(), 50u);
  EXPECT_GE(fired_ns, start_ns + 500'000);
}

TEST(SimRuntime, CancelledTimerDoesNotRunEvenWhenDue) {
  SimRuntime sim(5);
  runtime::Loop& loop = sim.loop();
  bool ran = false;
  const auto timer = loop.schedule_after(kMillisecond, [&] { ran = true; });
  const auto due = [&] {  // the last events before the timer would run
    return sim.now_ns() > 1'002 * kMillisecond;
  };
  sim.run_until(due, 100 * kMillisecond);
  const bool cancelled = loop.cancel(timer);
  EXPECT_EQ(cancelled, !ran);
  EXPECT_FALSE(loop.cancel(timer));
  sim.run_until_idle();
  EXPECT_EQ(ran, !cancelled);
}

TEST(SimRuntime, TurnEndComesAfterWhatWasReady) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SimRuntime sim(seed);
    runtime::Loop& loop = sim.loop();
    std::string order;
    loop.post([&] {
      order += "a";
      loop.at_turn_end([&] { order += "E"; });
    });
    loop.post([&] {
      order += "b";
      loop.post([&] { order += "next"; });
    });
    sim.run_until_idle();
    EXPECT_EQ(order, "abEnext");
  }
}

TEST(SimRuntime, PoolKeepsOrderWithinAKeyOnly) {
  bool reordered = false;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SimRuntime sim(seed);
    std::vector<int> keyed, free;
    for (int i = 0; i < 20; ++i) {
      sim.pool().submit(
          [&, i] {
            EXPECT_FALSE(sim.loop().in_loop());
            keyed.push_back(i);
          },
          sim.loop(), [] {}, 42);
      sim.pool().submit([&, i] { free.push_back(i); }, sim.loop(), [&] { EXPECT_TRUE(sim.loop().in_loop()); });
    }
    sim.run_until_idle();
    EXPECT_TRUE(std::is_sorted(keyed.begin(), keyed.end()));
    EXPECT_EQ(free.size(), 20u);
    reordered |= !std::is_sorted(free.begin(), free.end());
  }
  EXPECT_TRUE(reordered);
}

TEST(SimRuntime, ConnectWithoutListenerIsRefused) {
  SimRuntime sim(1);
  bool refused = false;
  sim.client_loop().connect({"127.0.0.1", 1}, [&](auto socket) { refused = !socket; });
  EXPECT_FALSE(refused);
  sim.run_until_idle();
  EXPECT_TRUE(refused);
}

TEST(SimRuntime, PausedListenerAcceptsLater) {
  Conversation talk(3);
  for (auto& listener : talk.server->listeners) listener->pause(true);
  talk.connect();
  talk.sim.run_for(kSecond);
  ASSERT_EQ(talk.clients.size(), 1u);
  EXPECT_TRUE(talk.server->peers.empty());
  for (auto& listener : talk.server->listeners) listener->pause(false);
  EXPECT_EQ(talk.sim.run_until([&] { return talk.all_answered(); }, 60 * kSecond), SimRuntime::Stop::kDone);
}

TEST(SimRuntime, ResetReachesBothEnds) {
  Conversation talk(3);
  talk.connect();
  ASSERT_EQ(talk.sim.run_until([&] { return talk.server->peers.size() == 1; }, kSecond), SimRuntime::Stop::kDone);
  talk.sim.network().reset_all();
  talk.sim.run_for(kSecond);
  EXPECT_TRUE(talk.clients[0]->failed);
  EXPECT_TRUE(talk.server->peers[0]->failed);
  EXPECT_EQ(talk.sim.network().connections(), 0u);
}

TEST(SimRuntime, ClosedSocketIsSeenAfterItsBytes) {
  Conversation talk(3);
  talk.connect();
  ASSERT_EQ(talk.sim.run_until([&] { return talk.clients.size() == 1 && talk.all_answered(); }, 60 * kSecond),
            SimRuntime::Stop::kDone);
  talk.server->peers.clear();
  talk.sim.run_for(kSecond);
  EXPECT_TRUE(talk.clients[0]->closed);
  EXPECT_EQ(talk.clients[0]->received, talk.message);
}

TEST(SimRuntime, FrozenNetworkDeliversAfterThaw) {
  Conversation talk(4);
  talk.connect();
  talk.sim.run_until([&] { return talk.clients.size() == 1; }, kSecond);
  talk.sim.network().freeze(true);
  talk.sim.run_for(10 * kSecond);
  EXPECT_NE(talk.clients[0]->received, talk.message);
  talk.sim.network().freeze(false);
  EXPECT_EQ(talk.sim.run_until([&] { return talk.all_answered(); }, 60 * kSecond), SimRuntime::Stop::kDone);
}

TEST(SimRuntime, ABlockedLinkHoldsBackItsDirectionOnly) {
  Conversation talk(4);
  talk.connect();
  ASSERT_EQ(talk.sim.run_until([&] { return talk.server->peers.size() == 1; }, kSecond), SimRuntime::Stop::kDone);
  talk.sim.run_for(20 * kMillisecond);
  const std::string before = talk.clients[0]->received;
  talk.sim.network().block(SimRuntime::host_of(0), SimRuntime::kClientHost, true);
  talk.server->peers[0]->send("x");
  talk.clients[0]->send("more");
  const size_t had = talk.server->peers[0]->received.size();
  talk.sim.run_for(10 * kSecond);
  EXPECT_EQ(talk.clients[0]->received, before) << "a byte came over the blocked link";
  EXPECT_GT(talk.server->peers[0]->received.size(), had) << "the other direction is blocked, too";
  talk.connect();  // has to wait for its answer
  talk.sim.run_for(10 * kSecond);
  EXPECT_EQ(talk.clients.size(), 1u);
  talk.sim.network().heal();
  const auto stop = talk.sim.run_until(
      [&] { return talk.clients.size() == 2 && talk.clients[0]->received.size() == talk.message.size() + 5; }, 60 * kSecond);
  EXPECT_EQ(stop, SimRuntime::Stop::kDone);
}

TEST(SimRuntime, AStalledConnectionGoesOnWhenHealed) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Conversation talk(seed);
    talk.connect();
    ASSERT_EQ(talk.sim.run_until([&] { return talk.server->peers.size() == 1; }, kSecond), SimRuntime::Stop::kDone);
    talk.sim.network().stall_one();
    talk.connect();  // is not concerned
    talk.sim.run_until([&] { return talk.clients.size() == 2 && talk.clients[1]->received == talk.message; }, 60 * kSecond);
    EXPECT_EQ(talk.clients.at(1)->received, talk.message);
    EXPECT_NE(talk.clients[0]->received, talk.message);
    talk.sim.network().heal();
    EXPECT_EQ(talk.sim.run_until([&] { return talk.all_answered(); }, 60 * kSecond), SimRuntime::Stop::kDone);
  }
}

TEST(SimRuntime, OneEndOfALostConnectionIsNeverTold) {
  bool client_told = false, server_told = false;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Conversation talk(seed);
    talk.connect();
    ASSERT_EQ(talk.sim.run_until([&] { return talk.server->peers.size() == 1; }, kSecond), SimRuntime::Stop::kDone);
    talk.sim.network().lose_one();
    talk.sim.run_for(60 * kSecond);
    EXPECT_NE(talk.clients[0]->failed, talk.server->peers[0]->failed);
    client_told |= talk.clients[0]->failed;
    server_told |= talk.server->peers[0]->failed;
    EXPECT_EQ(talk.sim.network().connections(), 0u);
  }
  EXPECT_TRUE(client_told && server_told);
}

TEST(SimRuntime, MachinesDieAndStartOneByOne) {
  SimRuntime sim(5, {.machines = 2, .loops = 2});
  auto first = std::make_unique<EchoServer>(sim.runtime(0), 9092);
  const EchoServer second(sim.runtime(1), 9093);
  std::map<uint16_t, std::unique_ptr<Peer>> clients;
  const auto connect = [&](uint16_t port) {
    sim.client_loop().connect({"localhost", port}, [&, port](Result<std::unique_ptr<runtime::Socket>> socket) {
      ASSERT_TRUE(socket);
      clients[port] = std::make_unique<Peer>(std::move(*socket), false);
      clients[port]->send("hello");
    });
  };
  const auto answered = [&](uint16_t port) { return clients.contains(port) && clients[port]->received == "hello"; };
  connect(9092);
  connect(9093);
  ASSERT_EQ(sim.run_until([&] { return answered(9092) && answered(9093); }, kSecond), SimRuntime::Stop::kDone);
  sim.end_server(Death::kPowerCut, 0);
  first.reset();
  clients[9093]->send(" again");
  ASSERT_EQ(sim.run_until([&] { return clients[9093]->received == "hello again"; }, kSecond), SimRuntime::Stop::kDone);
  EXPECT_TRUE(clients[9092]->failed);
  EXPECT_FALSE(clients[9093]->failed);
  sim.start_server(0);
  first = std::make_unique<EchoServer>(sim.runtime(0), 9092);
  clients.erase(9092);
  connect(9092);
  EXPECT_EQ(sim.run_until([&] { return answered(9092); }, kSecond), SimRuntime::Stop::kDone);
  EXPECT_NE(sim.disk(0).all_files(), std::vector<std::string>{});
}

TEST(SimRuntime, CutAtAWriteStopsTheServerAndTheNextLifeGoesOn) {
  for (uint64_t n = 1; n <= 12; ++n) {
    Conversation talk(n);
    talk.connect();
    talk.sim.disk().cut_at_write(n);
    ASSERT_EQ(talk.sim.run_for(10 * kSecond), SimRuntime::Stop::kDied);
    talk.sim.end_server(Death::kPowerCut);
    talk.server.reset();
    talk.sim.start_server();
    talk.server = std::make_unique<EchoServer>(talk.sim.runtime());
    talk.clients.clear();
    talk.connect();
    EXPECT_EQ(talk.sim.run_until([&] { return talk.clients.size() == 1 && talk.all_answered(); }, 60 * kSecond),
              SimRuntime::Stop::kDone);
  }
}

TEST(SimRuntime, ClientsLearnOfADeadServerByAReset) {
  Conversation talk(6);
  talk.connect();
  talk.sim.run_until([&] { return talk.server->peers.size() == 1; }, kSecond);
  talk.sim.end_server(Death::kKill);
  talk.server.reset();
  talk.sim.run_for(kSecond);
  EXPECT_TRUE(talk.clients[0]->failed);
  talk.connect();
  talk.sim.run_for(kSecond);
  EXPECT_TRUE(talk.refused);
}

TEST(SimRuntime, TasksOfADeadLoopAreDestroyedNotRun) {
  SimRuntime sim(1);
  auto token = std::make_shared<int>(1);
  runtime::Loop& loop = sim.loop();
  loop.post([token] { FAIL(); });
  loop.schedule_after(1, [token] { FAIL(); });
  sim.pool().submit([token] { FAIL(); }, loop, [token] { FAIL(); });
  sim.end_server(Death::kKill);
  EXPECT_EQ(token.use_count(), 1);
  loop.post([token] { FAIL(); });
  loop.schedule_after(1, [token] { FAIL(); });
  EXPECT_EQ(token.use_count(), 1);
  sim.run_until_idle();
}

TEST(SimRuntime, WallClockMayJumpTheMonotonicDoesNot) {
  SimRuntime sim(1);
  const int64_t wall_ms = sim.clock().wall_ms();
  const int64_t monotonic_ns = sim.clock().monotonic_ns();
  sim.shift_wall_clock(-5'000);
  EXPECT_EQ(sim.clock().wall_ms(), wall_ms - 5'000);
  EXPECT_EQ(sim.clock().monotonic_ns(), monotonic_ns);
}

TEST(SimRuntime, TheClockOfOneMachineJumpsAlone) {
  SimRuntime sim(1, {.machines = 2});
  sim.shift_wall_clock(7'000, 1);
  EXPECT_EQ(sim.runtime(1).clock->wall_ms(), sim.clock().wall_ms() + 7'000);
  EXPECT_EQ(sim.loop(0, 1).clock().wall_ms(), sim.clock().wall_ms() + 7'000);
  EXPECT_EQ(sim.runtime(0).clock->wall_ms(), sim.clock().wall_ms());
  EXPECT_EQ(sim.runtime(1).clock->monotonic_ns(), sim.clock().monotonic_ns());
}

TEST(TempDir, IsAFolderOfItsOwn) {
  TempDir first, second;
  EXPECT_NE(first.path(), second.path());
}

}  // namespace
}  // namespace weir::testing
