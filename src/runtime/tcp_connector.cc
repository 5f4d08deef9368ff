#include <sys/socket.h>

#include <cerrno>

#include "runtime/tcp_socket.h"

namespace weir::runtime {
namespace {
// For all addresses of a host together; the kernel alone would try for two minutes each.
constexpr int64_t kConnectDeadlineNs = 30 * kSecond;
}  // namespace

TcpConnector::TcpConnector(EpollLoop& loop, Endpoint address, ConnectCallback done)
    : Homebound(loop), loop_(loop), address_(std::move(address)), done_(std::move(done)) {}

TcpConnector::~TcpConnector() { abandon_attempt(); }

void TcpConnector::start() {
  const auto self = HomeRef(this);
  if (const auto numeric = parse_numeric(address_)) {
    candidates_ = std::vector{*numeric};
    loop_.post([self] { self->try_next(); });  // never calls back before connect() has returned
    return;
  }
  loop_.pool().submit([self] { self->candidates_ = resolve(self->address_); }, loop_, [self] { self->try_next(); });
}

void TcpConnector::try_next() {
  if (!done_) return;  // the deadline was faster
  abandon_attempt();
  if (!candidates_) return finish(std::unexpected(candidates_.error()));
  if (!deadline_) {
    deadline_ = loop_.schedule_after(kConnectDeadlineNs, [self = HomeRef(this)] {
      self->deadline_ = {};
      self->finish(fail_errno("cannot connect to " + self->address_.host, ETIMEDOUT));
    });
  }
  if (next_candidate_ == candidates_->size()) return finish(std::unexpected(last_error_));
  const SocketAddress& target = (*candidates_)[next_candidate_++];
  fd_.reset(::socket(target.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int status = fd_ ? ::connect(fd_.get(), target.get(), target.length) : -1;
  if (status != 0 && errno == EINPROGRESS) status = 0;
  if (status != 0) {
    last_error_ = fail_errno("cannot connect to " + target.text(), errno).error();
    loop_.post([self = HomeRef(this)] { self->try_next(); });
    return;
  }
  watch_ = loop_.watch(fd_.get(), EPOLLOUT | EPOLLONESHOT, *this);
}

void TcpConnector::on_events(uint32_t) {
  const auto self = HomeRef(this);
  int os_errno = 0;
  socklen_t length = sizeof os_errno;
  ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &os_errno, &length);
  const SocketAddress& target = (*candidates_)[next_candidate_ - 1];
  if (os_errno != 0) {
    last_error_ = fail_errno("cannot connect to " + target.text(), os_errno).error();
    return try_next();
  }
  loop_.unwatch(std::exchange(watch_, 0));
  UniqueFd connected = std::move(fd_);
  loop_.forget(connected.get());  // TcpSocket registers it anew for its own set of events
  finish(std::unique_ptr<Socket>(std::make_unique<TcpSocket>(loop_, std::move(connected), target)));
}

void TcpConnector::finish(Result<std::unique_ptr<Socket>> outcome) {
  const auto self = HomeRef(this);  // the deadline may hold the last reference
  abandon_attempt();
  loop_.cancel(std::exchange(deadline_, {}));
  ConnectCallback done = std::exchange(done_, nullptr);
  done(std::move(outcome));
}

void TcpConnector::abandon_attempt() {
  if (watch_ != 0) loop_.unwatch(std::exchange(watch_, 0));
  fd_.reset();
}

void EpollLoop::connect(const Endpoint& address, ConnectCallback done) {
  check_thread();
  make_homebound<TcpConnector>(*this, address, std::move(done))->start();
}

}  // namespace weir::runtime
