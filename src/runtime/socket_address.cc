#include "runtime/socket_address.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <netdb.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace weir::runtime {
namespace {
sockaddr_in* v4(SocketAddress& a) { return reinterpret_cast<sockaddr_in*>(&a.storage); }
sockaddr_in6* v6(SocketAddress& a) { return reinterpret_cast<sockaddr_in6*>(&a.storage); }
const sockaddr_in* v4(const SocketAddress& a) { return reinterpret_cast<const sockaddr_in*>(&a.storage); }
const sockaddr_in6* v6(const SocketAddress& a) { return reinterpret_cast<const sockaddr_in6*>(&a.storage); }

template <typename Ask>
SocketAddress ask_kernel(int fd, Ask ask) {
  SocketAddress address;
  address.length = sizeof address.storage;
  if (ask(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.length) != 0) address = {};
  return address;
}
}  // namespace

uint16_t SocketAddress::port() const {
  if (family() == AF_INET) return ntohs(v4(*this)->sin_port);
  if (family() == AF_INET6) return ntohs(v6(*this)->sin6_port);
  return 0;
}

Endpoint SocketAddress::endpoint() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (family() == AF_INET) {
    ::inet_ntop(AF_INET, &v4(*this)->sin_addr, text, sizeof text);
  } else if (family() == AF_INET6) {
    const in6_addr& ip = v6(*this)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&ip)) {
      ::inet_ntop(AF_INET, &ip.s6_addr[12], text, sizeof text);
    } else {
      ::inet_ntop(AF_INET6, &ip, text, sizeof text);
    }
  }
  return {text, port()};
}

std::string SocketAddress::text() const {
  const Endpoint e = endpoint();
  return e.host.find(':') == std::string::npos ? fmt::format("{}:{}", e.host, e.port) : fmt::format("[{}]:{}", e.host, e.port);
}

std::optional<SocketAddress> parse_numeric(const Endpoint& endpoint) {
  std::string host = endpoint.host;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  SocketAddress address;
  if (::inet_pton(AF_INET, host.c_str(), &v4(address)->sin_addr) == 1) {
    v4(address)->sin_family = AF_INET;
    v4(address)->sin_port = htons(endpoint.port);
    address.length = sizeof(sockaddr_in);
    return address;
  }
  address = {};
  if (::inet_pton(AF_INET6, host.c_str(), &v6(address)->sin6_addr) == 1) {
    v6(address)->sin6_family = AF_INET6;
    v6(address)->sin6_port = htons(endpoint.port);
    address.length = sizeof(sockaddr_in6);
    return address;
  }
  return std::nullopt;
}

Result<std::vector<SocketAddress>> resolve(const Endpoint& endpoint) {
  if (const auto numeric = parse_numeric(endpoint)) return std::vector{*numeric};
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int status = ::getaddrinfo(endpoint.host.c_str(), nullptr, &hints, &found);
  if (status == EAI_SYSTEM) return fail_errno("cannot resolve host " + endpoint.host, errno);
  if (status != 0) {
    return fail(ErrorCode::kNotFound, fmt::format("cannot resolve host {}: {}", endpoint.host, ::gai_strerror(status)));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, ::freeaddrinfo);
  std::vector<SocketAddress> addresses;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    SocketAddress address;
    std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
    address.length = entry->ai_addrlen;
    if (address.family() == AF_INET) v4(address)->sin_port = htons(endpoint.port);
    if (address.family() == AF_INET6) v6(address)->sin6_port = htons(endpoint.port);
    addresses.push_back(address);
  }
  return addresses;
}

SocketAddress local_address(int fd) { return ask_kernel(fd, ::getsockname); }
SocketAddress peer_address(int fd) { return ask_kernel(fd, ::getpeername); }

}  // namespace weir::runtime
