#include <sys/socket.h>

#include <cerrno>

#include "base/log.h"
#include "runtime/tcp_socket.h"

namespace weir::runtime {
namespace {

constexpr int kBacklog = 4096;
constexpr int kAcceptsPerTurn = 64;
constexpr int64_t kResumeAfterNs = 100 * kMillisecond;

Result<UniqueFd> bind_stream(const SocketAddress& address, bool share_port) {
  UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("cannot create a socket for " + address.text(), errno);
  const int on = 1;
  const int off = 0;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (share_port) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  // [::] serves IPv4 as well.
  if (address.family() == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (::bind(fd.get(), address.get(), address.length) != 0) {
    return fail_errno("cannot listen on " + address.text(), errno);
  }
  return fd;
}

// Without a host: every interface, IPv6 and IPv4; IPv4 alone where the machine has no IPv6.
Result<SocketAddress> address_to_bind(const Endpoint& address) {
  if (!address.host.empty()) {
    const Result<std::vector<SocketAddress>> found = resolve(address);
    if (!found) return std::unexpected(found.error());
    return found->front();
  }
  const SocketAddress any = *parse_numeric({"::", address.port});
  const UniqueFd probe(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return probe ? any : *parse_numeric({"0.0.0.0", address.port});
}

}  // namespace

// Resolves a host name in place: listening is part of starting up and answers at once.
Result<std::unique_ptr<Listener>> TcpListener::open(EpollLoop& loop, BoundAddresses& addresses, const Endpoint& address,
                                                    AcceptCallback on_accept) {
  const Result<SocketAddress> wanted = address_to_bind(address);
  if (!wanted) return std::unexpected(wanted.error());
  Result<UniqueFd> fd = UniqueFd();
  const auto bind_shared = [&]() -> Result<void> {
    fd = bind_stream(*wanted, true);
    if (fd && ::listen(fd->get(), kBacklog) != 0) fd = fail_errno("cannot listen on " + wanted->text(), errno);
    if (!fd) return std::unexpected(fd.error());
    return {};
  };
  const auto prove_free = [&]() -> Result<void> {
    const Result<UniqueFd> alone = bind_stream(*wanted, false);
    if (!alone) return std::unexpected(alone.error());
    return {};
  };
  if (wanted->port() == 0) {
    if (const Result<void> bound = bind_shared(); !bound) return std::unexpected(bound.error());
    const Result<void> counted = addresses.acquire(local_address(fd->get()).text(), [] { return Result<void>{}; });
    if (!counted) return std::unexpected(counted.error());
  } else {
    const Result<void> ours = addresses.acquire(wanted->text(), prove_free);
    if (!ours) return std::unexpected(ours.error());
    if (const Result<void> bound = bind_shared(); !bound) {
      addresses.release(wanted->text());
      return std::unexpected(bound.error());
    }
  }
  return std::unique_ptr<Listener>(new TcpListener(loop, addresses, std::move(*fd), std::move(on_accept)));
}

TcpListener::TcpListener(EpollLoop& loop, BoundAddresses& addresses, UniqueFd fd, AcceptCallback on_accept)
    : loop_(loop),
      addresses_(addresses),
      fd_(std::move(fd)),
      address_(local_address(fd_.get())),
      watch_(loop.watch(fd_.get(), EPOLLIN, *this)),
      on_accept_(std::move(on_accept)) {}

TcpListener::~TcpListener() {
  loop_.cancel(resume_timer_);
  loop_.unwatch(watch_);
  addresses_.release(address_.text());
}

void TcpListener::pause(bool paused) {
  paused_ = paused;
  update_events();
}

void TcpListener::update_events() {
  const bool accepting = !paused_ && !resume_timer_;
  loop_.change_events(fd_.get(), watch_, accepting ? uint32_t{EPOLLIN} : 0);
}

// Level-triggered: the next turn announces again the connections that a full batch left.
void TcpListener::on_events(uint32_t) {
  EpollLoop& loop = loop_;
  const WatchId watch = watch_;
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    if (!accept_one()) return;
    if (!loop.watching(watch) || paused_) return;  // the callback closed or paused this listener
  }
}

bool TcpListener::accept_one() {
  SocketAddress peer;
  peer.length = sizeof peer.storage;
  UniqueFd fd(::accept4(fd_.get(), reinterpret_cast<sockaddr*>(&peer.storage), &peer.length, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (fd) {
    shortage_logged_ = false;
    on_accept_(std::make_unique<TcpSocket>(loop_, std::move(fd), peer));
    return true;
  }
  switch (errno) {
    case EAGAIN:
      return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      out_of_resources(errno);
      return false;
    default:  // an error of the connection that was waiting (ECONNABORTED, ENETDOWN, EINTR, ...): the next
              // one may do
      return true;
  }
}

void TcpListener::out_of_resources(int os_errno) {
  if (!shortage_logged_) {
    shortage_logged_ = true;
    log_event(LogLevel::kError, "runtime",
              {.what = fmt::format("Clients that connect to {} wait until connections close", address_.text()),
               .reason = fail_errno("cannot accept connections", os_errno).error().message,
               .remedy = "Raise the limit of open files (ulimit -n, LimitNOFILE) or lower max.connections"});
  }
  resume_timer_ = loop_.schedule_after(kResumeAfterNs, [this] {
    resume_timer_ = {};
    update_events();
  });
  update_events();
}

Result<std::unique_ptr<Listener>> EpollLoop::listen(const Endpoint& address, AcceptCallback on_accept) {
  return TcpListener::open(*this, addresses_, address, std::move(on_accept));
}

}  // namespace weir::runtime
