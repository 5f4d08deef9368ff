// The network side of one shard: listens, accepts, owns its connections and their shared parts (receive blocks, request contexts,
// deadlines).
//
// Lifecycle: construct, listen(), run the loop, drain() for shutdown. Destruction closes all connections. By then no handler
// holds a request context any more. Loop thread only, or before the loop runs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/rate_limit.h"
#include "base/result.h"
#include "broker/server/connection.h"
#include "broker/server/connection_limits.h"
#include "broker/server/connection_owner.h"
#include "broker/server/listener_metrics.h"
#include "runtime/loop.h"

namespace weir::broker {

class Frontend final : public ConnectionOwner {
 public:
  Frontend(runtime::Loop& loop, const Dispatcher& dispatcher, MemoryBudget& budget, ConnectionLimits& limits,
           FrontendMetrics& metrics, FrontendOptions options);
  ~Frontend();

  // Listens on listener.bound, and returns the real address. `listener` outlives the frontend.
  Result<runtime::Endpoint> listen(const ListenerInfo& listener);
  // The host:port of HTTP, for clients that speak HTTP here. Before the loop runs.
  void tell_http_clients(std::string address) { shard_.http_address = std::move(address); }
  // Stops accepting and takes no further request; those in flight are answered.
  void drain();
  // Takes over a connected socket as if it had been accepted.
  void accept(std::unique_ptr<runtime::Socket> socket, const ListenerInfo& listener);

  // Half of the memory for requests, so that two fit. A request of this size that stops arriving, or is not answered, then holds
  // up only requests that are nearly as large.
  static uint64_t most_request_bytes(const MemoryBudget& budget) {
    return budget.limit(MemoryShare::kRequests) / 2 / kBufferAlignment * kBufferAlignment;
  }

  size_t connections() const { return connections_.size(); }
  const FrontendOptions& options() const { return shard_.options; }

 private:
  static constexpr int64_t kTickMs = 1000;

  void send_at_turn_end(Connection& connection) override;
  void read_later(Connection& connection) override;
  void remove_later(Connection& connection) override;
  void wait_for_block(Connection& connection) override;
  void deadline_moved(Connection& connection) override;
  void note_closed(const Connection& connection, CloseReason reason, std::string_view what) override;
  void note_sent(const Connection& connection, const QueuedRequest& request) override;
  void log_slow(const Connection& connection, const QueuedRequest& request);

  void block_granted(Reservation reservation);
  void end_of_turn();
  void want_end_of_turn();
  void remove(Connection& connection);
  void tick();
  void press_slow_clients(int64_t now);
  void schedule_tick();

  ShardConnections shard_;
  ConnectionLimits& limits_;
  FrontendMetrics& metrics_;
  RateLimit close_lines_;
  RateLimit refuse_lines_;
  RateLimit slow_lines_;
  const int64_t slow_request_ns_;

  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<Connection*> to_send_, sending_;
  std::vector<Connection*> to_read_;
  std::vector<Connection*> to_remove_, removing_;
  std::vector<Connection*> wait_for_block_;
  uint64_t request_waits_seen_ = 0;  // at the last tick
  uint64_t answer_waits_seen_ = 0;
  uint64_t response_waits_seen_ = 0;
  bool pressed_ = false;  // somebody waited before it
  bool end_of_turn_wanted_ = false;
  bool block_asked_ = false;
  DeadlineWheel wheel_;
  runtime::TimerId tick_timer_;
  std::vector<std::unique_ptr<runtime::Listener>> listeners_;
};

}  // namespace weir::broker
