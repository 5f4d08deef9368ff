// Addresses as the kernel has them.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/loop.h"

namespace weir::runtime {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
  uint16_t port() const;
  // Numeric host; IPv4 addresses mapped into IPv6 are shown as IPv4.
  Endpoint endpoint() const;
  std::string text() const;
};

// An address out of a numeric IPv4 or IPv6 host (IPv6 also in brackets), without asking anybody; nothing for
// a name.
std::optional<SocketAddress> parse_numeric(const Endpoint& endpoint);
// All addresses of a name, in the order they should be tried. May block for long: pool only, or at start.
Result<std::vector<SocketAddress>> resolve(const Endpoint& endpoint);
SocketAddress local_address(int fd);
SocketAddress peer_address(int fd);

}  // namespace weir::runtime
