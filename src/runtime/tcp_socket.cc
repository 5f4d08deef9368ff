#include "runtime/tcp_socket.h"

#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/check.h"
#include "runtime/file.h"

namespace weir::runtime {
namespace {
constexpr uint32_t kSocketEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
constexpr uint32_t kEndEvents = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
constexpr size_t kPiecesMax = 1024;  // the kernel's UIO_MAXIOV
}  // namespace

TcpSocket::TcpSocket(EpollLoop& loop, UniqueFd fd, const SocketAddress& peer)
    : loop_(loop), fd_(std::move(fd)), peer_(peer.endpoint()) {
  const int on = 1;
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  watch_ = loop_.watch(fd_.get(), kSocketEvents, *this);
}

TcpSocket::~TcpSocket() { loop_.unwatch(watch_); }

void TcpSocket::set_send_buffer(int bytes) { ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes); }

void TcpSocket::set_handler(Handler* handler) {
  handler_ = handler;
  if (early_events_ != 0) loop_.deliver_again(watch_, std::exchange(early_events_, 0));
}

void TcpSocket::on_events(uint32_t epoll_events) {
  if (handler_ == nullptr) {
    early_events_ |= epoll_events;
    return;
  }
  const bool ended = (epoll_events & kEndEvents) != 0;
  peer_finished_ = peer_finished_ || ended;
  EpollLoop& loop = loop_;
  const WatchId watch = watch_;
  if (ended || (epoll_events & EPOLLIN)) handler_->on_readable();
  if (!loop.watching(watch)) return;  // the handler closed this socket
  // The socket is writable nearly always: only a refused write waits for the event.
  const bool writable = (epoll_events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0;
  if (writable && std::exchange(wants_to_write_, false)) handler_->on_writable();
}

IoResult TcpSocket::read(MutableBytes into) {
  ssize_t n = 0;
  do {
    n = ::recv(fd_.get(), into.data(), into.size(), 0);
  } while (n < 0 && errno == EINTR);
  if (n > 0) {
    // A close that was announced with this data raises no further edge.
    if (peer_finished_ && static_cast<size_t>(n) < into.size()) loop_.deliver_again(watch_, EPOLLIN);
    return {IoResult::Status::kOk, static_cast<size_t>(n), 0};
  }
  if (n == 0) return into.empty() ? IoResult{} : IoResult{IoResult::Status::kClosed, 0, 0};
  if (errno == EAGAIN || errno == EWOULDBLOCK) return {IoResult::Status::kWouldBlock, 0, 0};
  return {IoResult::Status::kError, 0, errno};
}

IoResult TcpSocket::write_outcome(ssize_t sent, size_t asked) {
  if (sent >= 0) {
    wants_to_write_ = static_cast<size_t>(sent) < asked;
    return {IoResult::Status::kOk, static_cast<size_t>(sent), 0};
  }
  if (errno == EAGAIN || errno == EWOULDBLOCK) {
    wants_to_write_ = true;
    return {IoResult::Status::kWouldBlock, 0, 0};
  }
  return {errno == EPIPE ? IoResult::Status::kClosed : IoResult::Status::kError, 0, errno};
}

IoResult TcpSocket::write(std::span<const iovec> pieces) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = std::min(pieces.size(), kPiecesMax);
  size_t asked = 0;
  for (const iovec& piece : pieces.first(message.msg_iovlen)) asked += piece.iov_len;
  ssize_t n = 0;
  do {
    n = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  const IoResult result = write_outcome(n, asked);
  // The caller sees fewer bytes than it asked for although the socket is not full: no edge would come.
  if (pieces.size() > kPiecesMax && !wants_to_write_) {
    wants_to_write_ = true;
    loop_.deliver_again(watch_, EPOLLOUT);
  }
  return result;
}

// A send that stopped because the file is shorter than its caller thinks is not announced by the kernel: let
// the caller come again and be told.
void TcpSocket::end_of_file_or_full(File& file, uint64_t reached) {
  const Result<uint64_t> size = file.size();
  if (!size || *size <= reached) loop_.deliver_again(watch_, EPOLLOUT);
}

IoResult TcpSocket::send_file(File& file, uint64_t offset, size_t length) {
  WEIR_CHECK(file.descriptor() >= 0);
  auto position = static_cast<off_t>(offset);
  ssize_t n = 0;
  do {
    n = ::sendfile(fd_.get(), file.descriptor(), &position, length);
  } while (n < 0 && errno == EINTR);
  if (n > 0 && static_cast<size_t>(n) < length) end_of_file_or_full(file, offset + static_cast<uint64_t>(n));
  if (n == 0 && length > 0) return {IoResult::Status::kError, 0, ENODATA};  // the file ends before the range
  return write_outcome(n, length);
}

const Endpoint& TcpSocket::local() const {
  if (local_.host.empty()) local_ = local_address(fd_.get()).endpoint();
  return local_;
}

}  // namespace weir::runtime
