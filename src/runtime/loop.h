// The event loop of a shard: one thread that runs tasks, timers and socket events, and what it needs around it.
//
// Everything a shard owns is touched on its loop's thread only, so nothing there needs a lock. Crossing to another
// shard is Executor::post. Blocking work (disk reads, database transactions, compression) goes to the Pool.
#pragma once

#include <sys/uio.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/function.h"
#include "base/result.h"
#include "runtime/clock.h"

namespace weir::runtime {

using Task = Function<void()>;

// Runs tasks one after the other in the order posted (per posting thread). post is thread-safe and never runs the
// task inline. A task posted after shutdown is destroyed without running.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual void post(Task task) = 0;
};

// Threads for work that may block. `work` runs on a pool thread, then `done` is posted to `reply_to`. Thread-safe.
// Tasks submitted with the same non-zero `ordering_key` run one after the other in submission order.
class Pool {
 public:
  virtual ~Pool() = default;
  virtual void submit(Task work, Executor& reply_to, Task done, uint64_t ordering_key = 0) = 0;
};

struct TimerId {
  uint64_t value = 0;
  explicit operator bool() const { return value != 0; }
};

// Where a connection came from and went to; text form, numeric address.
struct Endpoint {
  std::string host;
  uint16_t port = 0;
  auto operator<=>(const Endpoint&) const = default;
};

class File;

// Outcome of one non-blocking socket operation.
struct IoResult {
  enum class Status { kOk, kWouldBlock, kClosed, kError };
  Status status = Status::kOk;
  size_t bytes = 0;  // moved, with kOk; fewer than asked means the socket is drained (read) or full (write)
  int os_errno = 0;
};

// A connected stream socket, used on its loop's thread only. Events are edge-triggered: after kWouldBlock, or after
// fewer bytes than asked for, the handler is called again once the direction is ready.
//
// A socket may stand before another one and change its bytes, as TLS does. It is the other one's handler then, and these rules
// are its own to keep: a read that has to write first answers kWouldBlock and calls on_readable() when it is worth reading;
// until a handshake is done nothing is read and nothing is taken; and what it holds decoded is read before it answers
// kWouldBlock.
class Socket {
 public:
  class Handler {
   public:
    virtual ~Handler() = default;
    virtual void on_readable() = 0;  // also on end of stream and on errors: read tells which
    virtual void on_writable() = 0;
  };
  virtual ~Socket() = default;  // closes; the handler is not called any more
  // Bytes the kernel may hold unsent; without it the kernel decides.
  virtual void set_send_buffer(int /*bytes*/) {}
  virtual void set_handler(Handler* handler) = 0;  // once, before the first event; not owned
  virtual IoResult read(MutableBytes into) = 0;
  virtual IoResult write(std::span<const iovec> pieces) = 0;  // one gathered send; at most 1024 pieces are taken
  // Whether it keeps bytes that it took and that are lost if it is destroyed now. on_writable() comes when it keeps none any
  // more.
  virtual bool keeps_bytes() const { return false; }
  // Whether send_file() may be called. A socket that changes the bytes has them written to it, like all others.
  virtual bool sends_files() const { return false; }
  // Sends from a file without copying through user space; the range must be resident (see design: cold reads).
  virtual IoResult send_file(File& file, uint64_t offset, size_t length);
  virtual const Endpoint& local() const = 0;
  virtual const Endpoint& peer() const = 0;
};

inline IoResult Socket::send_file(File& /*file*/, uint64_t /*offset*/, size_t /*length*/) {
  return {IoResult::Status::kError, 0, ENOTSUP};
}

// A listening socket; destruction stops it.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual Endpoint address() const = 0;  // with the real port if 0 was asked for
  // Stops accepting until resumed (out of descriptors, connection limit).
  virtual void pause(bool paused) = 0;
};
using AcceptCallback = Function<void(std::unique_ptr<Socket>)>;
using ConnectCallback = Function<void(Result<std::unique_ptr<Socket>>)>;

class Loop : public Executor {
 public:
  virtual const Clock& clock() const = 0;
  virtual Random& random() = 0;
  virtual unsigned index() const = 0;  // shard number, from 0
  virtual bool in_loop() const = 0;    // called on this loop's thread
  // Whether the caller may touch what this loop owns: on the loop's thread, or while no thread runs the loop (before its
  // first turn, after the runtime has stopped). An object that dies where this is false posts itself home first.
  virtual bool may_touch() const { return in_loop(); }
  // Time this loop slept because nothing was to be done, since it began; thread-safe. 0 where nobody measures it.
  virtual int64_t idle_ns() const { return 0; }

  // Runs `task` once, no earlier than `delay_ns` from now; resolution 1 ms unless delay_ns < 5 ms (then as fine as the
  // system allows: the WAL waits for 0.5 ms). Loop thread only.
  virtual TimerId schedule_after(int64_t delay_ns, Task task) = 0;
  // True if the task will not run any more because of this call. Loop thread only.
  virtual bool cancel(TimerId timer) = 0;
  // Runs `task` at the end of the current turn, after all ready events and posted tasks (batching of sends and
  // flushes). Loop thread only.
  virtual void at_turn_end(Task task) = 0;

  // Several loops may listen on one address (SO_REUSEPORT). Loop thread only, or before the loop runs.
  virtual Result<std::unique_ptr<Listener>> listen(const Endpoint& address, AcceptCallback on_accept) = 0;
  virtual void connect(const Endpoint& address, ConnectCallback done) = 0;
};

inline constexpr int64_t kMillisecond = 1'000'000;
inline constexpr int64_t kSecond = 1'000'000'000;

}  // namespace weir::runtime
