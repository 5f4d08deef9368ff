// The network side of one shard: listens, accepts, owns its connections and what they share (receive blocks, request
// contexts, deadlines).
//
// Lifecycle: construct, listen(), run the loop; drain() for shutdown; destruction closes all connections and
// needs every request context that handlers still hold to be gone. Loop thread only, or before the loop runs.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/rate_limit.h"
#include "base/result.h"
#include "broker/server/connection.h"
#include "broker/server/dispatch.h"
#include "broker/server/memory_budget.h"
#include "broker/server/metrics.h"
#include "broker/server/receive_buffers.h"
#include "runtime/loop.h"

namespace weir::broker {

struct FrontendOptions {
  int32_t socket_request_max_bytes = 100 << 20;
  int64_t connections_max_idle_ms = 600'000;
  int64_t frame_progress_ms = 30'000;
  int send_buffer_bytes = -1;      // of a connection; negative: the kernel decides
  int64_t slow_request_ms = 1000;  // requests that take as long are logged; negative: none
};

// Bounds the connections of the process: by what is configured, and by its descriptors, of which some are kept back for the
// log, the segments and the databases. Thread-safe.
class ConnectionLimits {
 public:
  // `open_files`: the process's limit; 0: none is known.
  ConnectionLimits(int64_t max_connections, int64_t max_per_ip, uint64_t open_files = 0)
      : max_connections_(max_connections), max_per_ip_(max_per_ip), descriptors_(descriptors_for_connections(open_files)) {}
  // A quarter is kept back, at least 512 (half, where there are fewer) and at most 2048.
  static int64_t descriptors_for_connections(uint64_t open_files);

  // nullptr if admitted; otherwise the name of the limit that refuses.
  const char* admit(const std::string& ip);
  void leave(const std::string& ip);
  int64_t connections() const;
  void set_limits(int64_t max_connections, int64_t max_per_ip);

 private:
  mutable std::mutex mutex_;  // protects all below
  int64_t max_connections_;
  int64_t max_per_ip_;
  const int64_t descriptors_;
  int64_t connections_ = 0;
  std::map<std::string, int64_t> per_ip_;
};

// What the connections of one listener count.
struct ListenerMetrics {
  ListenerMetrics(MetricsRegistry& registry, const std::string& listener);
  std::string listener;
  Gauge& connections;
  Counter& accepted;
  Counter& closed;
  Counter& bytes_received;
  Counter& bytes_sent;
};

// What the frontends of all shards count.
struct FrontendMetrics {
  explicit FrontendMetrics(MetricsRegistry& registry, const std::vector<std::string>& listeners = {"PLAINTEXT"});
  ListenerMetrics& of(const std::string& listener);  // one of those named at construction
  int64_t connections() const;
  std::deque<ListenerMetrics> listeners;
  Counter& refused;
  Counter& slow_requests;
  std::array<Counter*, 8> closed;  // by Connection::Reason
};

class Frontend {
 public:
  Frontend(runtime::Loop& loop, const Dispatcher& dispatcher, MemoryBudget& budget, ConnectionLimits& limits,
           FrontendMetrics& metrics, FrontendOptions options);
  ~Frontend();

  // Listens on listener.bound; answers the real address. `listener` outlives the frontend.
  Result<runtime::Endpoint> listen(const ListenerInfo& listener);
  // host:port where HTTP is spoken, for those who speak it here. Before the loop runs.
  void tell_http_clients(std::string address) { http_address_ = std::move(address); }
  // Stops accepting and takes no further request; those in flight are answered.
  void drain();
  // Takes over a connected socket as if it had been accepted.
  void accept(std::unique_ptr<runtime::Socket> socket, const ListenerInfo& listener);

  // Half of the memory for requests: two fit, so that one of this size that stops arriving, or is not answered, holds up only
  // those that are nearly as large.
  static uint64_t most_request_bytes(const MemoryBudget& budget) {
    return budget.limit(MemoryShare::kRequests) / 2 / kBufferAlignment * kBufferAlignment;
  }

  size_t connections() const { return connections_.size(); }
  const FrontendOptions& options() const { return options_; }

 private:
  friend class Connection;
  friend class RequestContext;

  static constexpr int64_t kTickMs = 1000;

  int64_t now_ms() const { return loop_.clock().monotonic_ns() / runtime::kMillisecond; }
  void send_at_turn_end(Connection& connection);
  void read_later(Connection& connection);
  void wait_for_block(Connection& connection);
  void block_granted(Reservation reservation);
  void remove_later(Connection& connection);
  void end_of_turn();
  void want_end_of_turn();
  void remove(Connection& connection);
  void log_slow(const Connection& connection, const RequestContext& context);
  void log_closed(const Connection& connection, Connection::Reason reason, std::string_view what);
  void place(Connection& connection);
  void tick();
  void press_slow_clients(int64_t now);
  void schedule_tick();

  runtime::Loop& loop_;
  const Dispatcher& dispatcher_;
  MemoryBudget& budget_;
  ConnectionLimits& limits_;
  FrontendMetrics& metrics_;
  FrontendOptions options_;
  const uint64_t most_request_bytes_;
  ReceiveBuffers blocks_;
  ContextPool contexts_;
  RateLimit close_lines_;
  RateLimit refuse_lines_;
  RateLimit slow_lines_;
  const int64_t slow_request_ns_;
  std::string http_address_;  // empty: nowhere

  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<Connection*> to_send_, sending_;
  std::vector<Connection*> to_read_;
  std::vector<Connection*> to_remove_, removing_;
  std::vector<Connection*> wait_for_block_;
  bool draining_ = false;
  uint64_t request_waits_seen_ = 0;  // at the last tick
  uint64_t answer_waits_seen_ = 0;
  uint64_t response_waits_seen_ = 0;
  bool pressed_ = false;  // somebody waited before it
  bool end_of_turn_wanted_ = false;
  bool block_asked_ = false;
  DeadlineWheel wheel_;
  runtime::TimerId tick_timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for posted tasks that may outlive us
  std::vector<std::unique_ptr<runtime::Listener>> listeners_;
};

}  // namespace weir::broker
