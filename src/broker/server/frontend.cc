#include "broker/server/frontend.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/counted.h"
#include "base/log.h"
#include "broker/server/slow_request.h"
#include "protocol/api.h"

namespace weir::broker {

namespace {

constexpr std::string_view kModule = "network";

}  // namespace

Frontend::Frontend(runtime::Loop& loop, const Dispatcher& dispatcher, MemoryBudget& budget, ConnectionLimits& limits,
                   FrontendMetrics& metrics, FrontendOptions options)
    : shard_{.loop = loop,
             .dispatcher = dispatcher,
             .budget = budget,
             .options = options,
             .most_request_bytes = most_request_bytes(budget)},
      limits_(limits),
      metrics_(metrics),
      slow_request_ns_(options.slow_request_ms < 0 ? std::numeric_limits<int64_t>::max()
                                                   : options.slow_request_ms * runtime::kMillisecond) {}

Frontend::~Frontend() {
  listeners_.clear();
  shard_.lifetime.end();
  if (tick_timer_) shard_.loop.cancel(tick_timer_);
  for (auto& connection : connections_) {
    connection->close(CloseReason::kShutdown, "the broker stops");
    limits_.leave(connection->info().peer.host);
    connection->metrics().connections.add(shard_.loop.index(), -1);
  }
}

Result<runtime::Endpoint> Frontend::listen(const ListenerInfo& listener) {
  auto opened = shard_.loop.listen(
      listener.bound, [this, &listener](std::unique_ptr<runtime::Socket> socket) { accept(std::move(socket), listener); });
  if (!opened) return std::unexpected(opened.error());
  runtime::Endpoint address = (*opened)->address();
  listeners_.push_back(std::move(*opened));
  return address;
}

void Frontend::drain() {
  shard_.draining = true;
  listeners_.clear();
}

void Frontend::accept(std::unique_ptr<runtime::Socket> socket, const ListenerInfo& listener) {
  const std::string& ip = socket->peer().host;
  if (const char* limit = limits_.admit(ip)) {
    metrics_.refused.add(shard_.loop.index());
    uint64_t suppressed = 0;
    if (refuse_lines_.admit(shard_.now_ms(), suppressed)) {
      log_event(LogLevel::kWarn, kModule,
                {.what = fmt::format("Refused a connection from {}{}", ip,
                                     suppressed ? fmt::format(" ({} more refused unreported)", suppressed) : std::string()),
                 .reason = fmt::format("{} is reached", limit),
                 .remedy = "Look for clients that open connections and do not close them, or raise the limit"});
    }
    return;
  }
  if (shard_.options.send_buffer_bytes > 0) socket->set_send_buffer(shard_.options.send_buffer_bytes);
  ListenerMetrics& of_listener = metrics_.of(listener.name);
  of_listener.accepted.add(shard_.loop.index());
  of_listener.connections.add(shard_.loop.index());
  connections_.push_back(std::make_unique<Connection>(*this, shard_, std::move(socket), listener, of_listener));
  Connection& connection = *connections_.back();
  connection.index = connections_.size() - 1;
  if (connections_.size() == 1) {
    wheel_.advance(shard_.now_ms() / kTickMs, [](DeadlineWheel::Entry&) {});
    if (!tick_timer_) schedule_tick();
  }
  deadline_moved(connection);
  connection.start();
}

void Frontend::send_at_turn_end(Connection& connection) {
  if (connection.send_scheduled) return;
  connection.send_scheduled = true;
  to_send_.push_back(&connection);
  want_end_of_turn();
}

void Frontend::remove_later(Connection& connection) {
  if (connection.removal_scheduled) return;
  connection.removal_scheduled = true;
  to_remove_.push_back(&connection);
  want_end_of_turn();
}

void Frontend::want_end_of_turn() {
  if (end_of_turn_wanted_ || !shard_.lifetime) return;
  end_of_turn_wanted_ = true;
  shard_.loop.at_turn_end([this, alive = shard_.lifetime.observe()] {
    if (alive) end_of_turn();
  });
}

void Frontend::end_of_turn() {
  end_of_turn_wanted_ = false;
  sending_.swap(to_send_);
  for (Connection* connection : sending_) {
    connection->send_scheduled = false;
    connection->send();
  }
  sending_.clear();
  removing_.swap(to_remove_);
  for (Connection* connection : removing_) {
    connection->removal_scheduled = false;
    connection->drop_socket();
    if (connection->removable() && !connection->send_scheduled) remove(*connection);
  }
  removing_.clear();
}

void Frontend::remove(Connection& connection) {
  if (connection.placed()) wheel_.remove(connection);
  std::erase(to_read_, &connection);
  std::erase(wait_for_block_, &connection);
  limits_.leave(connection.info().peer.host);
  connection.metrics().connections.add(shard_.loop.index(), -1);
  const size_t index = connection.index;
  std::swap(connections_[index], connections_.back());
  connections_[index]->index = index;
  connections_.pop_back();
}

void Frontend::read_later(Connection& connection) {
  if (connection.read_scheduled) return;
  connection.read_scheduled = true;
  to_read_.push_back(&connection);
  if (to_read_.size() > 1) return;
  shard_.loop.post([this, alive = shard_.lifetime.observe()] {
    if (!alive) return;
    std::vector<Connection*> reading = std::move(to_read_);
    to_read_.clear();
    for (Connection* next : reading) {
      next->read_scheduled = false;
      next->read();
    }
  });
}

void Frontend::wait_for_block(Connection& connection) {
  wait_for_block_.push_back(&connection);
  if (block_asked_) return;
  block_asked_ = true;
  shard_.budget.wait(MemoryShare::kRequests, ReceiveBuffers::kBlockBytes, shard_.loop,
                     [this, alive = shard_.lifetime.observe()](Reservation granted) {
                       if (alive) block_granted(std::move(granted));
                     });
}

void Frontend::block_granted(Reservation reservation) {
  block_asked_ = false;
  shard_.blocks.add_block(std::move(reservation));
  std::vector<Connection*> waiting = std::move(wait_for_block_);
  wait_for_block_.clear();
  for (Connection* connection : waiting) connection->block_granted();
}

// A wait that the client asked for is no fault.
void Frontend::note_sent(const Connection& connection, const QueuedRequest& request) {
  const RequestMoments& moments = request.moments();
  const int64_t waited_ns = std::min(moments.remote(), request.allowed_wait_ms() * runtime::kMillisecond);
  if (moments.total() - waited_ns >= slow_request_ns_) log_slow(connection, request);
}

void Frontend::log_slow(const Connection& connection, const QueuedRequest& request) {
  metrics_.slow_requests.add(shard_.loop.index());
  uint64_t suppressed = 0;
  if (!slow_lines_.admit(shard_.now_ms(), suppressed)) return;
  SlowRequestText text = describe({.api = protocol::api_name(request.api_key()),
                                   .version = request.version(),
                                   .client_id = request.client_id(),
                                   .peer = connection.info().peer,
                                   .moments = request.moments(),
                                   .allowed_wait_ms = request.allowed_wait_ms(),
                                   .threshold_ms = shard_.options.slow_request_ms});
  if (suppressed) text.what += fmt::format(" ({} unreported)", counted(suppressed, "more slow request"));
  log_event(LogLevel::kWarn, "requests", {.what = text.what, .reason = text.reason, .remedy = text.remedy});
}

void Frontend::note_closed(const Connection& connection, CloseReason reason, std::string_view what) {
  metrics_.closed[static_cast<size_t>(reason)]->add(shard_.loop.index());
  connection.metrics().closed.add(shard_.loop.index());
  const runtime::Endpoint& peer = connection.info().peer;
  const std::string& listener = connection.info().listener->name;
  if (reason == CloseReason::kPeer || reason == CloseReason::kShutdown || reason == CloseReason::kIdle ||
      reason == CloseReason::kIo) {
    log_debug(kModule, "Closed the connection from {}:{} on {}: {}", peer.host, peer.port, listener, what);
    return;
  }
  uint64_t suppressed = 0;
  if (!close_lines_.admit(shard_.now_ms(), suppressed)) return;
  log_warn(kModule, "Closed the connection from {}:{} on {}: {}{}", peer.host, peer.port, listener, what,
           suppressed ? fmt::format(" ({} more closed unreported)", suppressed) : std::string());
}

void Frontend::deadline_moved(Connection& connection) {
  // Rounded up: a deadline is never early.
  wheel_.place(connection, (connection.next_deadline_ms() + kTickMs - 1) / kTickMs);
}

void Frontend::schedule_tick() {
  tick_timer_ = shard_.loop.schedule_after(kTickMs * runtime::kMillisecond, [this] { tick(); });
}

void Frontend::tick() {
  tick_timer_ = {};
  const int64_t now = shard_.now_ms();
  wheel_.advance(now / kTickMs, [&](DeadlineWheel::Entry& entry) {
    auto& connection = static_cast<Connection&>(entry);
    if (connection.closed()) return;
    switch (connection.due(now)) {
      case Connection::Due::kNo:
        return deadline_moved(connection);
      case Connection::Due::kIdle:
        return connection.close(CloseReason::kIdle, "idle (connections.max.idle.ms)");
      case Connection::Due::kStalled:
        return connection.close(CloseReason::kStalled, "a request stopped arriving");
      case Connection::Due::kNoMemory:
        return connection.close(
            CloseReason::kStalled,
            "the memory for its request was not free in time (twice weir.frame.progress.ms): requests of others "
            "hold it (weir.max.memory.bytes)");
      case Connection::Due::kUnsent:
        return connection.end_unsent();
    }
  });
  press_slow_clients(now);
  const bool holds_blocks = shard_.blocks.give_back_idle();
  if (holds_blocks || !connections_.empty()) schedule_tick();
}

void Frontend::press_slow_clients(int64_t now) {
  const auto somebody_waited = [this](MemoryShare share, uint64_t& seen) {
    const uint64_t waits = shard_.budget.waits(share);
    return std::exchange(seen, waits) != waits || shard_.budget.crowded(share);
  };
  const bool requests = somebody_waited(MemoryShare::kRequests, request_waits_seen_);
  const bool answers = somebody_waited(MemoryShare::kAnswers, answer_waits_seen_);
  const bool responses = somebody_waited(MemoryShare::kResponses, response_waits_seen_);
  if (std::exchange(pressed_, requests || answers || responses) || pressed_) {
    for (const auto& connection : connections_) connection->press(now, requests, answers, responses);
  }
}

}  // namespace weir::broker
