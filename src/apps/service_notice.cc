#include "apps/service_notice.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/log.h"

namespace weir::apps {

ServiceNotice ServiceNotice::from_environment() {
  const char* socket = std::getenv("NOTIFY_SOCKET");
  ServiceNotice notice(socket ? socket : "");
  unsetenv("NOTIFY_SOCKET");
  return notice;
}

void ServiceNotice::send(const std::string& message) const {
  if (socket_.empty()) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_.size() >= sizeof address.sun_path) return log_warn("server", "NOTIFY_SOCKET is too long a path: {}", socket_);
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool sent = descriptor >= 0 && ::sendto(descriptor, message.data(), message.size(), MSG_NOSIGNAL,
                                                reinterpret_cast<const sockaddr*>(&address), length) >= 0;
  if (!sent) log_warn("server", "Cannot tell the service manager at {}: {}", socket_, std::strerror(errno));
  if (descriptor >= 0) ::close(descriptor);
}

}  // namespace weir::apps
