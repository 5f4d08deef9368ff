// Stream sockets and listeners on an EpollLoop.
#pragma once

#include <memory>
#include <vector>

#include "runtime/epoll_loop.h"
#include "runtime/homebound.h"
#include "runtime/loop.h"
#include "runtime/socket_address.h"
#include "runtime/unique_fd.h"

namespace weir::runtime {

// Registered once, edge-triggered, for both directions; no epoll_ctl afterwards. A handler that reads until
// it gets fewer bytes than asked for (or kWouldBlock) misses nothing, the end of the stream included: if the
// peer's close came together with the last data, on_readable is called once more.
class TcpSocket final : public Socket, private EventTarget {
 public:
  // `fd` is connected and non-blocking.
  TcpSocket(EpollLoop& loop, UniqueFd fd, const SocketAddress& peer);
  ~TcpSocket() override;

  void set_send_buffer(int bytes) override;
  void set_handler(Handler* handler) override;
  IoResult read(MutableBytes into) override;
  IoResult write(std::span<const iovec> pieces) override;
  bool sends_files() const override { return true; }
  IoResult send_file(File& file, uint64_t offset, size_t length) override;
  const Endpoint& local() const override;
  const Endpoint& peer() const override { return peer_; }

 private:
  void on_events(uint32_t epoll_events) override;
  void end_of_file_or_full(File& file, uint64_t reached);
  IoResult write_outcome(ssize_t sent, size_t asked);

  EpollLoop& loop_;
  UniqueFd fd_;
  WatchId watch_ = 0;
  Handler* handler_ = nullptr;
  bool peer_finished_ = false;   // the peer's close or an error was announced, perhaps not yet read
  bool wants_to_write_ = false;  // the last write did not take everything
  uint32_t early_events_ = 0;    // came before the handler
  Endpoint peer_;
  mutable Endpoint local_;  // asked for on first use: most connections never need it
};

class TcpListener final : public Listener, private EventTarget {
 public:
  static Result<std::unique_ptr<Listener>> open(EpollLoop& loop, BoundAddresses& addresses, const Endpoint& address,
                                                AcceptCallback on_accept);
  ~TcpListener() override;

  Endpoint address() const override { return address_.endpoint(); }
  void pause(bool paused) override;

 private:
  TcpListener(EpollLoop& loop, BoundAddresses& addresses, UniqueFd fd, AcceptCallback on_accept);
  void on_events(uint32_t epoll_events) override;
  bool accept_one();
  void out_of_resources(int os_errno);
  void update_events();

  EpollLoop& loop_;
  BoundAddresses& addresses_;
  UniqueFd fd_;
  SocketAddress address_;
  WatchId watch_ = 0;
  AcceptCallback on_accept_;
  bool paused_ = false;
  TimerId resume_timer_;  // set while waiting for descriptors to become free
  bool shortage_logged_ = false;
};

// One connect under way: resolves on the pool, then tries one address after the other. Owned by the task that
// waits for its next step (resolution, then the deadline), so it goes with the loop's tasks.
class TcpConnector final : public Homebound, private EventTarget {
 public:
  TcpConnector(EpollLoop& loop, Endpoint address, ConnectCallback done);
  ~TcpConnector() override;
  void start();

 private:
  void try_next();
  void on_events(uint32_t epoll_events) override;
  void finish(Result<std::unique_ptr<Socket>> outcome);
  void abandon_attempt();

  EpollLoop& loop_;
  const Endpoint address_;
  ConnectCallback done_;
  Result<std::vector<SocketAddress>> candidates_;
  size_t next_candidate_ = 0;
  Error last_error_;
  UniqueFd fd_;
  WatchId watch_ = 0;
  TimerId deadline_;
};

}  // namespace weir::runtime
