// The network of a simulation: listeners and stream sockets, as byte pipes in memory with bounded buffers.
//
// Bytes of a connection arrive in order after seeded delays, in pieces of any size. Now and then reads and writes move fewer
// bytes than they could, and events come although nothing is ready, as with a kernel. A socket that is closed with unread bytes
// resets its peer.
//
// Hosts are the machines of the network. A link is a direction between two hosts. Bytes that a blocked link or a stalled
// connection holds back are not lost: they arrive in their order later, as if TCP had sent them again.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/loop.h"
#include "testing/scheduler.h"

namespace weir::testing {

class SimLoop;
struct SimConnection;
struct SimListenerState;

class SimNetwork {
 public:
  struct Options {
    int64_t min_latency_ns = 10'000;
    int64_t max_latency_ns = 200'000;
    int64_t slow_latency_ns = 10'000'000;  // one in 128
    size_t min_buffer = 2'048;             // capacity of one direction, drawn for each connection
    size_t max_buffer = 262'144;
    uint64_t partial_one_in = 16;   // reads and writes that move less than they could
    uint64_t spurious_one_in = 64;  // writes refused though there is room, events without cause
    uint64_t reset_one_in = 0;      // writes that reset the connection instead
    uint64_t half_open_one_in = 0;  // connections of a dead process whose peers never hear of it
  };

  SimNetwork(Scheduler& scheduler, Options options) : scheduler_(scheduler), options_(options) {}

  Result<std::unique_ptr<runtime::Listener>> listen(SimLoop& loop, runtime::Endpoint address, runtime::AcceptCallback on_accept);
  void connect(SimLoop& loop, runtime::Endpoint address, runtime::ConnectCallback done);

  // Faults on demand.
  void reset_all();                                                // every connection: both ends see ECONNRESET
  void reset_one();                                                // one of the established connections, by the seed
  void freeze(bool frozen);                                        // nothing arrives any more until thawed; connects wait
  void block(uint32_t from_host, uint32_t to_host, bool blocked);  // connects wait as well, for both directions
  // Stalls one connection in one direction, by the seed: bytes of one end do not arrive, bytes of the other end do.
  void stall_one();
  // Makes one connection half-open: one end sees a reset, the other end hears nothing of it, and never again of its peer.
  void lose_one();
  void heal();  // thaws, unblocks and ends stalls; lost connections stay lost
  // The process is dead: its listeners are gone, the bytes that it had sent arrive up to some byte, peers see a reset.
  void end_process(uint32_t process);

  size_t connections() const;  // established
  uint64_t bytes_delivered() const { return bytes_delivered_; }
  // `dead` says which processes are dead: nothing that they still do in their last event reaches anybody.
  void set_death_check(std::function<bool(uint32_t process)> dead) { dead_ = std::move(dead); }

 private:
  friend class SimSocket;
  friend class SimListener;

  std::vector<std::shared_ptr<SimConnection>> established();
  void establish(SimLoop& loop, const runtime::Endpoint& address, runtime::ConnectCallback done);
  void accept(SimListenerState& listener, std::shared_ptr<SimConnection> connection);
  runtime::IoResult read(const std::shared_ptr<SimConnection>& connection, int side, MutableBytes into);
  runtime::IoResult write(const std::shared_ptr<SimConnection>& connection, int side, Bytes bytes, size_t asked);
  size_t room(const SimConnection& connection, int side) const;
  void send(const std::shared_ptr<SimConnection>& connection, int side, size_t bytes);
  void close(const std::shared_ptr<SimConnection>& connection, int side);
  void reset(const std::shared_ptr<SimConnection>& connection, int side);
  void notify(const std::shared_ptr<SimConnection>& connection, int side, bool readable);
  void attach(const std::shared_ptr<SimConnection>& connection, int side, runtime::Socket::Handler* handler);
  void remove_listener(const SimListenerState& listener);
  int64_t latency_ns();
  // Runs `arrive` after the latency, and after everything sent before in this direction.
  void deliver(const std::shared_ptr<SimConnection>& connection, int sender, Function<void()> arrive);
  bool open_link(uint32_t from_host, uint32_t to_host) const { return !frozen_ && !blocked_.contains({from_host, to_host}); }
  bool may_connect(const SimLoop& loop, const runtime::Endpoint& address) const;
  bool listens_at(const SimListenerState& state, const runtime::Endpoint& address) const;
  void release();

  Scheduler& scheduler_;
  Options options_;
  std::vector<std::shared_ptr<SimListenerState>> listeners_;
  std::map<uint64_t, std::weak_ptr<SimConnection>> connections_;
  std::function<bool(uint32_t)> dead_ = [](uint32_t) { return false; };
  uint64_t last_connection_ = 0;
  uint64_t bytes_delivered_ = 0;
  uint16_t last_port_ = 20'000;
  bool frozen_ = false;
  std::set<std::pair<uint32_t, uint32_t>> blocked_;  // links
  struct HeldBack {
    Function<bool()> passes;
    Function<void()> arrive;
  };
  std::vector<HeldBack> held_back_;  // in the order of arrival without faults
};

}  // namespace weir::testing
