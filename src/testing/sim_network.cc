#include "testing/sim_network.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/crc32c.h"
#include "runtime/file.h"
#include "testing/sim_loop.h"

namespace weir::testing {

using runtime::Endpoint;
using runtime::IoResult;

// One direction of a connection, as its receiver sees it.
struct SimPipe {
  std::vector<uint8_t> bytes;  // sent and not read
  size_t head = 0;             // first unread byte in `bytes`
  size_t arrived = 0;          // how many of the unread bytes may be read
  size_t capacity = 0;
  bool ended = false;  // the end of the stream arrived
  bool reset = false;  // the connection broke; bytes that arrived before may still be read
  bool stalled = false;
  int64_t last_arrival_ns = 0;
  size_t unread() const { return bytes.size() - head; }
};

struct SimConnection {
  struct Side {
    SimLoop* loop = nullptr;
    runtime::Socket::Handler* handler = nullptr;
    Endpoint local;
    bool open = false;
    bool read_armed = true;
    bool write_armed = false;
    bool read_queued = false;
    bool write_queued = false;
    SimPipe inbound;
  };
  uint64_t id = 0;
  bool lost = false;  // nothing arrives any more, and no end hears of it
  std::array<Side, 2> sides;
};

struct SimListenerState {
  SimLoop* loop = nullptr;
  Endpoint address;
  runtime::AcceptCallback on_accept;
  bool paused = false;
  bool open = true;
  std::vector<std::shared_ptr<SimConnection>> backlog;
};

class SimSocket final : public runtime::Socket {
 public:
  SimSocket(SimNetwork& network, std::shared_ptr<SimConnection> connection, int side)
      : network_(network), connection_(std::move(connection)), side_(side) {}
  ~SimSocket() override { network_.close(connection_, side_); }

  void set_handler(Handler* handler) override { network_.attach(connection_, side_, handler); }
  IoResult read(MutableBytes into) override { return network_.read(connection_, side_, into); }
  IoResult write(std::span<const iovec> pieces) override {
    constexpr size_t kMaxPieces = 1024;
    pieces = pieces.first(std::min(pieces.size(), kMaxPieces));
    size_t asked = 0;
    for (const iovec& piece : pieces) asked += piece.iov_len;
    const size_t room = network_.room(*connection_, side_);
    std::vector<uint8_t> bytes;
    for (const iovec& piece : pieces) {
      const auto* from = static_cast<const uint8_t*>(piece.iov_base);
      bytes.insert(bytes.end(), from, from + std::min(piece.iov_len, room - bytes.size()));
      if (bytes.size() == room) break;
    }
    return network_.write(connection_, side_, bytes, asked);
  }
  bool sends_files() const override { return true; }
  IoResult send_file(runtime::File& file, uint64_t offset, size_t length) override {
    std::vector<uint8_t> bytes(std::min(length, network_.room(*connection_, side_)));
    const auto got = file.read_at(offset, bytes);
    if (!got) return {IoResult::Status::kError, 0, got.error().os_errno};
    return network_.write(connection_, side_, Bytes(bytes).first(*got), length);
  }
  const Endpoint& local() const override { return connection_->sides[side_].local; }
  const Endpoint& peer() const override { return connection_->sides[1 - side_].local; }

 private:
  SimNetwork& network_;
  std::shared_ptr<SimConnection> connection_;
  int side_;
};

class SimListener final : public runtime::Listener {
 public:
  SimListener(SimNetwork& network, std::shared_ptr<SimListenerState> state) : network_(network), state_(std::move(state)) {}
  ~SimListener() override {
    network_.remove_listener(*state_);
    state_->open = false;
    state_->on_accept = nullptr;
    for (auto& connection : std::exchange(state_->backlog, {})) network_.close(connection, 1);
  }
  Endpoint address() const override { return state_->address; }
  void pause(bool paused) override {
    state_->paused = paused;
    if (paused) return;
    for (auto& connection : std::exchange(state_->backlog, {})) network_.accept(*state_, std::move(connection));
  }

 private:
  SimNetwork& network_;
  std::shared_ptr<SimListenerState> state_;
};

namespace {
std::string numeric(const std::string& host) { return host == "localhost" ? "127.0.0.1" : host; }
bool any_address(const std::string& host) { return host.empty() || host == "0.0.0.0" || host == "::"; }
}  // namespace

int64_t SimNetwork::latency_ns() {
  SeededRandom& random = scheduler_.random();
  const int64_t limit = random.one_in(128) ? options_.slow_latency_ns : options_.max_latency_ns;
  return static_cast<int64_t>(random.between(options_.min_latency_ns, std::max(limit, options_.min_latency_ns)));
}

Result<std::unique_ptr<runtime::Listener>> SimNetwork::listen(SimLoop& loop, Endpoint address,
                                                              runtime::AcceptCallback on_accept) {
  address.host = any_address(address.host) ? "::" : numeric(address.host);
  if (address.port == 0) address.port = ++last_port_;
  for (const auto& other : listeners_) {
    if (other->address == address && other->loop->process() != loop.process()) {
      return fail_errno("listen on " + address.host + ":" + std::to_string(address.port), EADDRINUSE);
    }
  }
  auto state = std::make_shared<SimListenerState>();
  state->loop = &loop;
  state->address = std::move(address);
  state->on_accept = std::move(on_accept);
  listeners_.push_back(state);
  return std::make_unique<SimListener>(*this, std::move(state));
}

void SimNetwork::remove_listener(const SimListenerState& listener) {
  std::erase_if(listeners_, [&](const auto& state) { return state.get() == &listener; });
}

void SimNetwork::connect(SimLoop& loop, Endpoint address, runtime::ConnectCallback done) {
  address.host = numeric(address.host);
  const Endpoint to = address;
  auto arrive = [this, &loop, to, done = std::move(done)]() mutable {
    if (loop.dead()) return;
    establish(loop, to, std::move(done));
  };
  scheduler_.after(latency_ns(), EventKind::kNetwork, 0, [this, &loop, to, arrive = std::move(arrive)]() mutable {
    if (may_connect(loop, to)) return arrive();
    held_back_.push_back({[this, &loop, to] { return may_connect(loop, to); }, std::move(arrive)});
  });
}

bool SimNetwork::listens_at(const SimListenerState& state, const Endpoint& address) const {
  const bool matches = state.address.host == address.host || any_address(state.address.host);
  return matches && state.address.port == address.port && !dead_(state.loop->process());
}

bool SimNetwork::may_connect(const SimLoop& loop, const Endpoint& address) const {
  if (frozen_) return false;
  return std::all_of(listeners_.begin(), listeners_.end(), [&](const auto& state) {
    const uint32_t host = state->loop->host();
    return !listens_at(*state, address) || (open_link(loop.host(), host) && open_link(host, loop.host()));
  });
}

void SimNetwork::establish(SimLoop& loop, const Endpoint& address, runtime::ConnectCallback done) {
  std::vector<std::shared_ptr<SimListenerState>> listening;
  for (const auto& state : listeners_) {
    if (listens_at(*state, address)) listening.push_back(state);
  }
  if (listening.empty()) {
    loop.post([done = std::move(done), address]() mutable {
      done(fail_errno("connect to " + address.host + ":" + std::to_string(address.port), ECONNREFUSED));
    });
    return;
  }
  SeededRandom& random = scheduler_.random();
  const auto& listener = listening[random.below(listening.size())];
  auto connection = std::make_shared<SimConnection>();
  connection->id = ++last_connection_;
  connections_[connection->id] = connection;
  for (auto& side : connection->sides) {
    side.open = true;
    side.inbound.capacity = random.between(options_.min_buffer, options_.max_buffer);
  }
  connection->sides[0].loop = &loop;
  connection->sides[0].local = {"127.0.0.1", static_cast<uint16_t>(32'768 + connection->id % 28'000)};
  connection->sides[1].loop = listener->loop;
  connection->sides[1].local = {any_address(listener->address.host) ? address.host : listener->address.host, address.port};
  if (listener->paused) {
    listener->backlog.push_back(connection);
  } else {
    accept(*listener, connection);
  }
  loop.post([this, connection, done = std::move(done)]() mutable {
    done(std::make_unique<SimSocket>(*this, std::move(connection), 0));
  });
}

void SimNetwork::accept(SimListenerState& listener, std::shared_ptr<SimConnection> connection) {
  std::shared_ptr<SimListenerState> state;
  for (const auto& candidate : listeners_) {
    if (candidate.get() == &listener) state = candidate;
  }
  if (!state) return;
  auto socket = std::make_unique<SimSocket>(*this, std::move(connection), 1);
  listener.loop->post([state = std::move(state), socket = std::move(socket)]() mutable {
    if (state->open) state->on_accept(std::move(socket));
  });
}

void SimNetwork::attach(const std::shared_ptr<SimConnection>& connection, int side, runtime::Socket::Handler* handler) {
  auto& own = connection->sides[side];
  WEIR_CHECK(own.loop->in_loop());
  own.handler = handler;
  if (own.inbound.arrived > 0 || own.inbound.ended || own.inbound.reset) notify(connection, side, true);
  if (scheduler_.random().one_in(2)) notify(connection, side, false);  // as epoll does for a new socket
}

void SimNetwork::notify(const std::shared_ptr<SimConnection>& connection, int side, bool readable) {
  auto& own = connection->sides[side];
  bool& queued = readable ? own.read_queued : own.write_queued;
  if (!own.open || !own.handler || queued) return;
  queued = true;
  own.loop->post([connection, side, readable] {
    auto& target = connection->sides[side];
    (readable ? target.read_queued : target.write_queued) = false;
    if (!target.open || !target.handler) return;
    (readable ? target.read_armed : target.write_armed) = false;
    readable ? target.handler->on_readable() : target.handler->on_writable();
  });
}

IoResult SimNetwork::read(const std::shared_ptr<SimConnection>& connection, int side, MutableBytes into) {
  auto& own = connection->sides[side];
  WEIR_CHECK(own.open && own.loop->in_loop());
  SimPipe& pipe = own.inbound;
  if (into.empty()) return {};
  if (dead_(own.loop->process())) return {IoResult::Status::kError, 0, ECONNRESET};
  SeededRandom& random = scheduler_.random();
  if (pipe.arrived == 0) {
    if (pipe.reset) return {IoResult::Status::kError, 0, ECONNRESET};
    if (pipe.ended) return {IoResult::Status::kClosed, 0, 0};
    own.read_armed = true;
    return {IoResult::Status::kWouldBlock, 0, EAGAIN};
  }
  size_t length = std::min(into.size(), pipe.arrived);
  if (random.one_in(options_.partial_one_in)) length = random.between(1, length);
  std::copy_n(pipe.bytes.begin() + static_cast<ptrdiff_t>(pipe.head), length, into.begin());
  pipe.head += length;
  pipe.arrived -= length;
  if (pipe.head > pipe.bytes.size() / 2) {
    pipe.bytes.erase(pipe.bytes.begin(), pipe.bytes.begin() + static_cast<ptrdiff_t>(pipe.head));
    pipe.head = 0;
  }
  bytes_delivered_ += length;
  scheduler_.trace().add(connection->id << 32 ^ length);
  if (length < into.size()) {
    own.read_armed = true;
    if (pipe.arrived > 0 || pipe.ended || pipe.reset) notify(connection, side, true);
  }
  if (connection->sides[1 - side].write_armed) {
    deliver(connection, side, [this, connection, side] { notify(connection, 1 - side, false); });
  }
  return {IoResult::Status::kOk, length, 0};
}

size_t SimNetwork::room(const SimConnection& connection, int side) const {
  const SimPipe& pipe = connection.sides[1 - side].inbound;
  return pipe.capacity - std::min(pipe.capacity, pipe.unread());
}

IoResult SimNetwork::write(const std::shared_ptr<SimConnection>& connection, int side, Bytes bytes, size_t asked) {
  auto& own = connection->sides[side];
  auto& other = connection->sides[1 - side];
  WEIR_CHECK(own.open && own.loop->in_loop());
  if (own.inbound.reset || dead_(own.loop->process())) return {IoResult::Status::kError, 0, ECONNRESET};
  if (asked == 0) return {};
  SeededRandom& random = scheduler_.random();
  if (random.one_in(options_.reset_one_in)) {
    reset(connection, 0);
    reset(connection, 1);
    return {IoResult::Status::kError, 0, ECONNRESET};
  }
  if (!other.open) {  // the peer answers with a reset
    deliver(connection, 1 - side, [this, connection, side] { reset(connection, side); });
    return {IoResult::Status::kOk, asked, 0};
  }
  const bool spurious = random.one_in(options_.spurious_one_in);
  if (bytes.empty() || spurious) {
    own.write_armed = true;
    if (!bytes.empty()) deliver(connection, 1 - side, [this, connection, side] { notify(connection, side, false); });
    return {IoResult::Status::kWouldBlock, 0, EAGAIN};
  }
  size_t length = bytes.size();
  if (random.one_in(options_.partial_one_in)) length = random.between(1, length);
  other.inbound.bytes.insert(other.inbound.bytes.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length));
  scheduler_.trace().add(connection->id << 32 ^ crc32c(bytes.first(length)));
  send(connection, side, length);
  if (length < asked) {
    own.write_armed = true;
    if (length < bytes.size()) deliver(connection, 1 - side, [this, connection, side] { notify(connection, side, false); });
  }
  return {IoResult::Status::kOk, length, 0};
}

void SimNetwork::deliver(const std::shared_ptr<SimConnection>& connection, int sender, Function<void()> arrive) {
  int64_t& last_ns = connection->sides[1 - sender].inbound.last_arrival_ns;
  last_ns = std::max(last_ns + 1, scheduler_.now_ns() + latency_ns());
  scheduler_.at(last_ns, EventKind::kNetwork, 0, [this, connection, sender, arrive = std::move(arrive)]() mutable {
    if (connection->lost) return;
    auto passes = [this, connection, sender] {
      const auto& to = connection->sides[1 - sender];
      return !to.inbound.stalled && open_link(connection->sides[sender].loop->host(), to.loop->host());
    };
    if (passes()) return arrive();
    held_back_.push_back({std::move(passes), std::move(arrive)});
  });
}

void SimNetwork::send(const std::shared_ptr<SimConnection>& connection, int side, size_t bytes) {
  SeededRandom& random = scheduler_.random();
  while (bytes > 0) {
    const size_t piece = random.one_in(4) ? random.between(1, bytes) : bytes;
    bytes -= piece;
    deliver(connection, side, [this, connection, side, piece] {
      auto& receiver = connection->sides[1 - side];
      SimPipe& pipe = receiver.inbound;
      if (pipe.reset || !receiver.open) return;
      // Fewer bytes are left if the sender's process died in between.
      pipe.arrived = std::min(pipe.arrived + piece, pipe.unread());
      if (receiver.read_armed || scheduler_.random().one_in(options_.spurious_one_in)) notify(connection, 1 - side, true);
    });
  }
}

void SimNetwork::close(const std::shared_ptr<SimConnection>& connection, int side) {
  auto& own = connection->sides[side];
  if (!own.open) return;
  own.open = false;
  own.handler = nullptr;
  const bool rude = own.inbound.unread() > 0;
  own.inbound = {};
  deliver(connection, side, [this, connection, side, rude] {
    auto& other = connection->sides[1 - side];
    if (rude) return reset(connection, 1 - side);
    other.inbound.ended = true;
    notify(connection, 1 - side, true);
  });
}

void SimNetwork::reset(const std::shared_ptr<SimConnection>& connection, int side) {
  auto& own = connection->sides[side];
  if (!own.open || own.inbound.reset) return;
  own.inbound.reset = true;
  own.inbound.bytes.resize(own.inbound.head + own.inbound.arrived);
  notify(connection, side, true);
  notify(connection, side, false);
}

std::vector<std::shared_ptr<SimConnection>> SimNetwork::established() {
  std::vector<std::shared_ptr<SimConnection>> found;
  std::erase_if(connections_, [](const auto& entry) { return entry.second.expired(); });
  for (const auto& [id, weak] : connections_) {
    auto connection = weak.lock();
    const auto& [one, other] = connection->sides;
    if (one.open && other.open && !one.inbound.reset && !other.inbound.reset && !connection->lost) {
      found.push_back(std::move(connection));
    }
  }
  return found;
}

size_t SimNetwork::connections() const { return const_cast<SimNetwork*>(this)->established().size(); }

void SimNetwork::reset_all() {
  for (const auto& connection : established()) {
    reset(connection, 0);
    reset(connection, 1);
  }
}

void SimNetwork::reset_one() {
  const auto all = established();
  if (all.empty()) return;
  const auto& connection = all[scheduler_.random().below(all.size())];
  reset(connection, 0);
  reset(connection, 1);
}

void SimNetwork::freeze(bool frozen) {
  frozen_ = frozen;
  release();
}

void SimNetwork::block(uint32_t from_host, uint32_t to_host, bool blocked) {
  if (blocked) {
    blocked_.emplace(from_host, to_host);
    return;
  }
  blocked_.erase({from_host, to_host});
  release();
}

void SimNetwork::stall_one() {
  const auto all = established();
  if (all.empty()) return;
  const auto& connection = all[scheduler_.random().below(all.size())];
  connection->sides[scheduler_.random().below(2)].inbound.stalled = true;
}

void SimNetwork::lose_one() {
  const auto all = established();
  if (all.empty()) return;
  const auto& connection = all[scheduler_.random().below(all.size())];
  connection->lost = true;
  reset(connection, static_cast<int>(scheduler_.random().below(2)));
}

void SimNetwork::heal() {
  frozen_ = false;
  blocked_.clear();
  for (const auto& [id, weak] : connections_) {
    const auto connection = weak.lock();
    if (!connection) continue;
    for (auto& side : connection->sides) side.inbound.stalled = false;
  }
  release();
}

void SimNetwork::release() {
  auto waiting = std::exchange(held_back_, {});
  for (HeldBack& held : waiting) {
    if (held.passes()) {
      held.arrive();
    } else {
      held_back_.push_back(std::move(held));
    }
  }
}

void SimNetwork::end_process(uint32_t process) {
  std::erase_if(listeners_, [&](const auto& state) { return state->loop->process() == process; });
  SeededRandom& random = scheduler_.random();
  for (const auto& [id, weak] : connections_) {
    const auto connection = weak.lock();
    if (!connection) continue;
    for (int side = 0; side < 2; ++side) {
      auto& own = connection->sides[side];
      if (own.loop->process() != process || !own.open) continue;
      own.open = false;
      own.handler = nullptr;
      SimPipe& outbound = connection->sides[1 - side].inbound;
      if (!connection->sides[1 - side].open) continue;
      // Some prefix of the bytes under way still arrives.
      const size_t under_way = outbound.unread() - outbound.arrived;
      outbound.bytes.resize(outbound.bytes.size() - random.between(0, under_way));
      if (random.one_in(options_.half_open_one_in)) continue;
      deliver(connection, side, [this, connection, side] { reset(connection, 1 - side); });
    }
  }
}

}  // namespace weir::testing
