#include "apps/ready_line.h"

#include <fmt/format.h>
#include <unistd.h>

#include "apps/server.h"
#include "base/json.h"
#include "base/log.h"

namespace weir::apps {

namespace {

std::string json_address(const runtime::Endpoint& address) {
  return fmt::format("{{\"host\":{},\"port\":{}}}", json_string(address.host), address.port);
}

}  // namespace

runtime::Endpoint reachable(runtime::Endpoint address) {
  if (address.host == "0.0.0.0" || address.host == "::") address.host = "127.0.0.1";
  return address;
}

std::string ready_line(const Server& server, int64_t pid) {
  std::string listeners;
  for (const broker::ListenerInfo& listener : server.listeners()) {
    const runtime::Endpoint address = reachable(listener.advertised ? *listener.advertised : listener.bound);
    listeners += fmt::format("{}{{\"name\":{},\"host\":{},\"port\":{},\"bound\":{},\"advertised\":{}}}",
                             listeners.empty() ? "" : ",", json_string(listener.name), json_string(address.host), address.port,
                             json_address(listener.bound), listener.advertised ? json_address(*listener.advertised) : "null");
  }
  std::string http;
  if (const auto& bound = server.http_address()) {
    http = ",\"http\":" + json_address(reachable(*bound));
  }
  return fmt::format("{{\"listeners\":[{}]{},\"data_dir\":{},\"pid\":{}}}\n", listeners, http, json_string(server.data_dir()),
                     pid);
}

void write_ready_line(int descriptor, const Server& server) {
  const std::string line = ready_line(server, getpid());
  size_t written = 0;
  while (written < line.size()) {
    const ssize_t n = ::write(descriptor, line.data() + written, line.size() - written);
    if (n <= 0) {
      log_warn("server", "Cannot write to --ready-fd {}", descriptor);
      break;
    }
    written += static_cast<size_t>(n);
  }
  if (descriptor > 2) ::close(descriptor);
}

}  // namespace weir::apps
