// The way back of a request to its connection. Requests know nothing else of connections.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "broker/server/connection_info.h"

namespace weir::broker {

class QueuedRequest;

enum class CloseReason : uint8_t { kPeer, kProtocol, kForeign, kIdle, kStalled, kIo, kShutdown, kDropped };

// Outlives its requests. Loop thread only.
class RequestChannel {
 public:
  virtual ConnectionInfo& info() = 0;
  virtual bool closed() const = 0;
  // The same for other threads. Made at the first call.
  virtual std::shared_ptr<const std::atomic<bool>> closed_flag() = 0;
  // No answer is due before the request's.
  virtual bool is_first(const QueuedRequest& request) const = 0;

  // The request's life, in this order. Its answer is encoded, or none is due.
  virtual void answered(QueuedRequest& request) = 0;
  // Or it cannot be answered. The connection ends once the answers before it are sent, and drops those behind it. `what` is for
  // the log. No effect on a request that has left the queue.
  virtual void fail(QueuedRequest& request, CloseReason reason, std::string_view what) = 0;
  // Nobody refers to it any more.
  virtual void released() = 0;

  // Before that, when there is no memory for it. Its handler has returned and is to be called again. Later requests of the
  // connection have to wait.
  virtual void put_aside() = 0;
  virtual void take_up(QueuedRequest& request) = 0;

 protected:
  ~RequestChannel() = default;
};

}  // namespace weir::broker
