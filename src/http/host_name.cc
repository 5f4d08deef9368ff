#include "http/host_name.h"

#include <algorithm>

#include "base/ascii_case.h"

namespace weir::http {

namespace {

bool ends_with(std::string_view host, std::string_view suffix) {
  return host.size() > suffix.size() && equal_ignoring_case(host.substr(host.size() - suffix.size()), suffix);
}

std::string_view without_port(std::string_view host) {
  const size_t colon = host.rfind(':');
  if (colon == std::string_view::npos) return host;
  const std::string_view port = host.substr(colon + 1);
  return std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; }) ? host.substr(0, colon) : host;
}

// No top level domain is made of digits only.
bool is_ipv4(std::string_view host) {
  return std::ranges::all_of(host, [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

}  // namespace

bool may_be_host(std::string_view host, std::span<const std::string> known) {
  if (host.starts_with('[')) return true;  // an IPv6 address
  host = without_port(host);
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.find('.') == std::string_view::npos || is_ipv4(host)) return true;
  for (const std::string_view suffix : {".localhost", ".local", ".internal", ".svc"}) {
    if (ends_with(host, suffix)) return true;
  }
  return std::ranges::any_of(known, [&](const std::string& name) { return name == "*" || equal_ignoring_case(name, host); });
}

}  // namespace weir::http
