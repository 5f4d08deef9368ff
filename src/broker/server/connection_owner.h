// A connection's view of the frontend that owns it: the parts that all connections of the shard share, and the calls it may make.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/buffer.h"
#include "base/lifetime.h"
#include "broker/server/dispatch.h"
#include "broker/server/memory_budget.h"
#include "broker/server/queued_request.h"
#include "broker/server/receive_buffers.h"
#include "runtime/loop.h"

namespace weir::broker {

class Connection;

struct FrontendOptions {
  int32_t socket_request_max_bytes = 100 << 20;
  int64_t connections_max_idle_ms = 600'000;
  int64_t frame_progress_ms = 30'000;
  int send_buffer_bytes = -1;      // of a connection; negative: the kernel decides
  int64_t slow_request_ms = 1000;  // requests that take as long are logged; negative: none
};

// Loop thread only.
struct ShardConnections {
  runtime::Loop& loop;
  const Dispatcher& dispatcher;
  MemoryBudget& budget;
  const FrontendOptions options;
  const uint64_t most_request_bytes;
  ReceiveBuffers blocks{budget};
  ContextPool requests{};
  std::string http_address{};  // where HTTP is spoken; empty: nowhere
  bool draining = false;       // the broker stops: nothing is read or begun any more
  Buffer file_bytes{};         // bytes read of a file for a socket that sends no files; made for the first one
  // For posted tasks that may outlive the frontend.
  Lifetime lifetime{};

  int64_t now_ns() const { return loop.clock().monotonic_ns(); }
  int64_t now_ms() const { return now_ns() / runtime::kMillisecond; }
  Buffer& file_buffer() {
    if (!file_bytes) file_bytes = Buffer::allocate(ReceiveBuffers::kBlockBytes);
    return file_bytes;
  }
};

class ConnectionOwner {
 public:
  // Each may be called again before it happens.
  virtual void send_at_turn_end(Connection& connection) = 0;
  virtual void read_later(Connection& connection) = 0;
  virtual void remove_later(Connection& connection) = 0;
  // Connection::block_granted follows.
  virtual void wait_for_block(Connection& connection) = 0;
  // Connection::next_deadline_ms() is earlier than it was.
  virtual void deadline_moved(Connection& connection) = 0;
  // For logs and metrics.
  virtual void note_closed(const Connection& connection, CloseReason reason, std::string_view what) = 0;
  virtual void note_sent(const Connection& connection, const QueuedRequest& request) = 0;

 protected:
  ~ConnectionOwner() = default;
};

}  // namespace weir::broker
