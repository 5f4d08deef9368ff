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

constexpr std::array<const char*, 8> kReasonNames = {"peer",    "protocol", "foreign",  "idle",
                                                     "stalled", "io",       "shutdown", "dropped"};

}  // namespace

int64_t ConnectionLimits::descriptors_for_connections(uint64_t open_files) {
  constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (open_files == 0) return static_cast<int64_t>(kMost);
  const uint64_t kept = std::max(std::min<uint64_t>(open_files / 4, 2048), std::min<uint64_t>(open_files / 2, 512));
  return static_cast<int64_t>(std::min(open_files - kept, kMost));
}

const char* ConnectionLimits::admit(const std::string& ip) {
  const std::lock_guard lock(mutex_);
  if (connections_ >= max_connections_) return "max.connections";
  if (connections_ >= descriptors_) return "what the limit of open files (ulimit -n, LimitNOFILE) leaves for connections";
  int64_t& of_ip = per_ip_[ip];
  if (of_ip >= max_per_ip_) {
    if (of_ip == 0) per_ip_.erase(ip);
    return "max.connections.per.ip";
  }
  ++of_ip;
  ++connections_;
  return nullptr;
}

void ConnectionLimits::leave(const std::string& ip) {
  const std::lock_guard lock(mutex_);
  --connections_;
  const auto it = per_ip_.find(ip);
  if (it != per_ip_.end() && --it->second == 0) per_ip_.erase(it);
}

int64_t ConnectionLimits::connections() const {
  const std::lock_guard lock(mutex_);
  return connections_;
}

void ConnectionLimits::set_limits(int64_t max_connections, int64_t max_per_ip) {
  const std::lock_guard lock(mutex_);
  max_connections_ = max_connections;
  max_per_ip_ = max_per_ip;
}

ListenerMetrics::ListenerMetrics(MetricsRegistry& registry, const std::string& name)
    : listener(name),
      connections(registry.shard_gauge("kafka_server_socket_server_metrics_connection_count", "Open client connections.",
                                       {{"listener", name}})),
      accepted(registry.shard_counter("kafka_server_socket_server_metrics_connection_creation_total", "Connections accepted.",
                                      {{"listener", name}})),
      closed(registry.shard_counter("kafka_server_socket_server_metrics_connection_close_total", "Connections closed.",
                                    {{"listener", name}})),
      bytes_received(registry.shard_counter("kafka_server_socket_server_metrics_incoming_byte_total",
                                            "Bytes received from clients.", {{"listener", name}})),
      bytes_sent(registry.shard_counter("kafka_server_socket_server_metrics_outgoing_byte_total", "Bytes sent to clients.",
                                        {{"listener", name}})) {}

FrontendMetrics::FrontendMetrics(MetricsRegistry& registry, const std::vector<std::string>& names)
    : refused(registry.counter("weir_connections_refused_total", "Connections refused by a limit.")),
      slow_requests(registry.counter("weir_slow_requests_total", "Requests that took weir.slow.request.ms or longer.")) {
  for (const std::string& name : names) listeners.emplace_back(registry, name);
  for (size_t i = 0; i < closed.size(); ++i) {
    closed[i] = &registry.counter("weir_connections_closed_total", "Connections closed, by who or what ended them.",
                                  {{"reason", kReasonNames[i]}});
  }
}

ListenerMetrics& FrontendMetrics::of(const std::string& listener) {
  for (ListenerMetrics& one : listeners) {
    if (one.listener == listener) return one;
  }
  return listeners.front();
}

int64_t FrontendMetrics::connections() const {
  int64_t sum = 0;
  for (const ListenerMetrics& one : listeners) sum += one.connections.total();
  return sum;
}

Frontend::Frontend(runtime::Loop& loop, const Dispatcher& dispatcher, MemoryBudget& budget, ConnectionLimits& limits,
                   FrontendMetrics& metrics, FrontendOptions options)
    : loop_(loop),
      dispatcher_(dispatcher),
      budget_(budget),
      limits_(limits),
      metrics_(metrics),
      options_(options),
      most_request_bytes_(most_request_bytes(budget)),
      blocks_(budget),
      slow_request_ns_(options.slow_request_ms < 0 ? std::numeric_limits<int64_t>::max()
                                                   : options.slow_request_ms * runtime::kMillisecond) {}

Frontend::~Frontend() {
  listeners_.clear();
  alive_.reset();
  if (tick_timer_) loop_.cancel(tick_timer_);
  for (auto& connection : connections_) {
    connection->close(Connection::Reason::kShutdown, "the broker stops");
    limits_.leave(connection->facts().peer.host);
    connection->metrics_.connections.add(loop_.index(), -1);
  }
}

Result<runtime::Endpoint> Frontend::listen(const ListenerInfo& listener) {
  auto opened = loop_.listen(listener.bound,
                             [this, &listener](std::unique_ptr<runtime::Socket> socket) { accept(std::move(socket), listener); });
  if (!opened) return std::unexpected(opened.error());
  runtime::Endpoint address = (*opened)->address();
  listeners_.push_back(std::move(*opened));
  return address;
}

void Frontend::drain() {
  draining_ = true;
  listeners_.clear();
}

void Frontend::accept(std::unique_ptr<runtime::Socket> socket, const ListenerInfo& listener) {
  const std::string& ip = socket->peer().host;
  if (const char* limit = limits_.admit(ip)) {
    metrics_.refused.add(loop_.index());
    uint64_t suppressed = 0;
    if (refuse_lines_.admit(now_ms(), suppressed)) {
      log_event(LogLevel::kWarn, kModule,
                {.what = fmt::format("Refused a connection from {} ({} more refused unreported)", ip, suppressed),
                 .reason = fmt::format("{} is reached", limit),
                 .remedy = "Look for clients that open connections and do not close them, or raise the limit"});
    }
    return;
  }
  if (options_.send_buffer_bytes > 0) socket->set_send_buffer(options_.send_buffer_bytes);
  ListenerMetrics& of_listener = metrics_.of(listener.name);
  of_listener.accepted.add(loop_.index());
  of_listener.connections.add(loop_.index());
  connections_.push_back(std::make_unique<Connection>(*this, std::move(socket), listener, of_listener));
  Connection& connection = *connections_.back();
  connection.index_ = connections_.size() - 1;
  if (connections_.size() == 1) {
    wheel_.advance(now_ms() / kTickMs, [](DeadlineWheel::Entry&) {});
    if (!tick_timer_) schedule_tick();
  }
  place(connection);
  connection.socket_->set_handler(&connection);
  connection.on_readable();  // what came before the handler was set
}

void Frontend::send_at_turn_end(Connection& connection) {
  if (connection.send_scheduled_) return;
  connection.send_scheduled_ = true;
  to_send_.push_back(&connection);
  want_end_of_turn();
}

void Frontend::remove_later(Connection& connection) {
  if (connection.removal_scheduled_) return;
  connection.removal_scheduled_ = true;
  to_remove_.push_back(&connection);
  want_end_of_turn();
}

void Frontend::want_end_of_turn() {
  if (end_of_turn_wanted_ || !alive_) return;
  end_of_turn_wanted_ = true;
  loop_.at_turn_end([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) end_of_turn();
  });
}

void Frontend::end_of_turn() {
  end_of_turn_wanted_ = false;
  sending_.swap(to_send_);
  for (Connection* connection : sending_) {
    connection->send_scheduled_ = false;
    connection->send();
  }
  sending_.clear();
  removing_.swap(to_remove_);
  for (Connection* connection : removing_) {
    connection->removal_scheduled_ = false;
    connection->socket_.reset();
    if (connection->removable() && !connection->send_scheduled_) remove(*connection);
  }
  removing_.clear();
}

void Frontend::remove(Connection& connection) {
  if (connection.placed()) wheel_.remove(connection);
  std::erase(to_read_, &connection);
  std::erase(wait_for_block_, &connection);
  limits_.leave(connection.facts().peer.host);
  connection.metrics_.connections.add(loop_.index(), -1);
  const size_t index = connection.index_;
  std::swap(connections_[index], connections_.back());
  connections_[index]->index_ = index;
  connections_.pop_back();
}

void Frontend::read_later(Connection& connection) {
  if (connection.read_scheduled_) return;
  connection.read_scheduled_ = true;
  to_read_.push_back(&connection);
  if (to_read_.size() > 1) return;
  loop_.post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    std::vector<Connection*> reading = std::move(to_read_);
    to_read_.clear();
    for (Connection* next : reading) {
      next->read_scheduled_ = false;
      next->read();
    }
  });
}

void Frontend::wait_for_block(Connection& connection) {
  wait_for_block_.push_back(&connection);
  if (block_asked_) return;
  block_asked_ = true;
  budget_.wait(MemoryShare::kRequests, ReceiveBuffers::kBlockBytes, loop_,
               [this, alive = std::weak_ptr<bool>(alive_)](Reservation granted) {
                 if (!alive.expired()) block_granted(std::move(granted));
               });
}

void Frontend::block_granted(Reservation reservation) {
  block_asked_ = false;
  blocks_.add_block(std::move(reservation));
  std::vector<Connection*> waiting = std::move(wait_for_block_);
  wait_for_block_.clear();
  for (Connection* connection : waiting) {
    connection->waiting_for_block_ = false;
    connection->read();
  }
}

void Frontend::log_slow(const Connection& connection, const RequestContext& context) {
  metrics_.slow_requests.add(loop_.index());
  uint64_t suppressed = 0;
  if (!slow_lines_.admit(now_ms(), suppressed)) return;
  SlowRequestText text = describe({.api = protocol::api_name(context.api_key_),
                                   .version = context.version_,
                                   .client_id = context.client_id_,
                                   .peer = connection.facts_.peer,
                                   .moments = context.moments_,
                                   .allowed_wait_ms = context.allowed_wait_ms_,
                                   .threshold_ms = options_.slow_request_ms});
  if (suppressed) text.what += fmt::format(" ({} unreported)", counted(suppressed, "more slow request"));
  log_event(LogLevel::kWarn, "requests", {.what = text.what, .reason = text.reason, .remedy = text.remedy});
}

void Frontend::log_closed(const Connection& connection, Connection::Reason reason, std::string_view what) {
  metrics_.closed[static_cast<size_t>(reason)]->add(loop_.index());
  connection.metrics_.closed.add(loop_.index());
  const runtime::Endpoint& peer = connection.facts_.peer;
  const std::string& listener = connection.facts_.listener->name;
  if (reason == Connection::Reason::kPeer || reason == Connection::Reason::kShutdown || reason == Connection::Reason::kIdle ||
      reason == Connection::Reason::kIo) {
    log_debug(kModule, "Closed the connection from {}:{} on {}: {}", peer.host, peer.port, listener, what);
    return;
  }
  uint64_t suppressed = 0;
  if (!close_lines_.admit(now_ms(), suppressed)) return;
  log_warn(kModule, "Closed the connection from {}:{} on {}: {}{}", peer.host, peer.port, listener, what,
           suppressed ? fmt::format(" ({} more closed unreported)", suppressed) : std::string());
}

void Frontend::place(Connection& connection) {
  // Rounded up: a deadline is never early.
  wheel_.place(connection, (connection.next_deadline_ms() + kTickMs - 1) / kTickMs);
}

void Frontend::schedule_tick() {
  tick_timer_ = loop_.schedule_after(kTickMs * runtime::kMillisecond, [this] { tick(); });
}

void Frontend::tick() {
  tick_timer_ = {};
  const int64_t now = now_ms();
  wheel_.advance(now / kTickMs, [&](DeadlineWheel::Entry& entry) {
    auto& connection = static_cast<Connection&>(entry);
    if (connection.closed()) return;
    switch (connection.due(now)) {
      case Connection::Due::kNo:
        return place(connection);
      case Connection::Due::kIdle:
        return connection.close(Connection::Reason::kIdle, "idle (connections.max.idle.ms)");
      case Connection::Due::kStalled:
        return connection.close(Connection::Reason::kStalled, "a request stopped arriving");
      case Connection::Due::kNoMemory:
        return connection.close(
            Connection::Reason::kStalled,
            "the memory for its request was not free in time (twice weir.frame.progress.ms): requests of others "
            "hold it (weir.max.memory.bytes)");
    }
  });
  press_slow_clients(now);
  const bool holds_blocks = blocks_.give_back_idle();
  if (holds_blocks || !connections_.empty()) schedule_tick();
}

void Frontend::press_slow_clients(int64_t now) {
  const auto somebody_waited = [this](MemoryShare share, uint64_t& seen) {
    const uint64_t waits = budget_.waits(share);
    return std::exchange(seen, waits) != waits || budget_.crowded(share);
  };
  const bool requests = somebody_waited(MemoryShare::kRequests, request_waits_seen_);
  const bool answers = somebody_waited(MemoryShare::kAnswers, answer_waits_seen_);
  const bool responses = somebody_waited(MemoryShare::kResponses, response_waits_seen_);
  if (std::exchange(pressed_, requests || answers || responses) || pressed_) {
    for (const auto& connection : connections_) connection->press(now, requests, answers, responses);
  }
}

}  // namespace weir::broker
