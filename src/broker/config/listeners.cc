#include "broker/config/listeners.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "base/ascii_case.h"

namespace weir::broker {

namespace {

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Calls `each` for every non-empty part.
template <typename Each>
Result<void> for_each_part(std::string_view text, Each each) {
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view part = trim(text.substr(0, comma));
    if (!part.empty()) {
      if (Result<void> ok = each(part); !ok) return ok;
    }
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return {};
}

Result<std::map<std::string, std::string>> parse_protocol_map(std::string_view text) {
  std::map<std::string, std::string> result;
  auto ok = for_each_part(text, [&](std::string_view part) -> Result<void> {
    const size_t colon = part.find(':');
    if (colon == std::string_view::npos) {
      return fail(weir::ErrorCode::kInvalid, fmt::format("listener.security.protocol.map: '{}' is not NAME:PROTOCOL", part));
    }
    result[upper_case(trim(part.substr(0, colon)))] = upper_case(trim(part.substr(colon + 1)));
    return {};
  });
  if (!ok) return std::unexpected(ok.error());
  return result;
}

bool all_interfaces(std::string_view host) { return host.empty() || host == "0.0.0.0" || host == "::"; }

}  // namespace

Result<runtime::Endpoint> parse_endpoint(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon + 1 == text.size())
    return fail(weir::ErrorCode::kInvalid, fmt::format("'{}' has no port", text));
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  if (!host.empty() && host.front() == '[') {
    if (host.back() != ']') return fail(weir::ErrorCode::kInvalid, fmt::format("'{}': missing ']'", text));
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return fail(weir::ErrorCode::kInvalid, fmt::format("'{}': write an IPv6 address in brackets", text));
  }
  runtime::Endpoint endpoint;
  if (!all_interfaces(host)) endpoint.host = host;
  const auto [end, error] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), endpoint.port);
  if (error != std::errc() || end != port_text.data() + port_text.size()) {
    return fail(weir::ErrorCode::kInvalid, fmt::format("'{}': '{}' is no port", text, port_text));
  }
  return endpoint;
}

std::string endpoint_text(const runtime::Endpoint& endpoint) {
  return endpoint.host.find(':') == std::string::npos ? fmt::format("{}:{}", endpoint.host, endpoint.port)
                                                      : fmt::format("[{}]:{}", endpoint.host, endpoint.port);
}

Result<std::vector<ListenerText>> parse_listeners(std::string_view text) {
  std::vector<ListenerText> result;
  auto ok = for_each_part(text, [&](std::string_view part) -> Result<void> {
    const size_t scheme = part.find("://");
    if (scheme == std::string_view::npos || scheme == 0) {
      return fail(weir::ErrorCode::kInvalid, fmt::format("'{}' is not NAME://HOST:PORT", part));
    }
    ListenerText listener{upper_case(part.substr(0, scheme)), {}};
    auto endpoint = parse_endpoint(part.substr(scheme + 3));
    if (!endpoint) return std::unexpected(endpoint.error());
    listener.endpoint = std::move(*endpoint);
    for (const ListenerText& other : result) {
      if (other.name == listener.name) {
        return fail(weir::ErrorCode::kInvalid, fmt::format("the listener name {} is used twice", listener.name));
      }
      if (other.endpoint.port != 0 && other.endpoint == listener.endpoint) {
        return fail(weir::ErrorCode::kInvalid, fmt::format("two listeners on '{}'", part.substr(scheme + 3)));
      }
    }
    result.push_back(std::move(listener));
    return {};
  });
  if (!ok) return std::unexpected(ok.error());
  return result;
}

Result<std::vector<ListenerInfo>> combine_listeners(std::string_view listeners, std::string_view advertised,
                                                    std::string_view protocol_map) {
  auto bound = parse_listeners(listeners);
  if (!bound) return std::unexpected(bound.error());
  if (bound->empty()) return fail(weir::ErrorCode::kInvalid, "listeners: at least one is needed");
  auto told = parse_listeners(advertised);
  if (!told) return std::unexpected(told.error());
  auto protocols = parse_protocol_map(protocol_map);
  if (!protocols) return std::unexpected(protocols.error());

  std::vector<ListenerInfo> result;
  for (ListenerText& text : *bound) {
    ListenerInfo info;
    info.name = text.name;
    const auto protocol = protocols->find(text.name);
    if (protocol == protocols->end()) {
      return fail(weir::ErrorCode::kInvalid,
                  fmt::format("listener {}: listener.security.protocol.map does not say which protocol it speaks", text.name));
    }
    info.security_protocol = protocol->second;
    info.bound = text.endpoint;
    if (!info.bound.host.empty()) info.advertised = info.bound;
    result.push_back(std::move(info));
  }
  for (ListenerText& text : *told) {
    const auto it = std::find_if(result.begin(), result.end(), [&](const auto& info) { return info.name == text.name; });
    if (it == result.end()) {
      return fail(weir::ErrorCode::kInvalid, fmt::format("advertised.listeners: there is no listener {}", text.name));
    }
    if (text.endpoint.host.empty()) {
      return fail(weir::ErrorCode::kInvalid,
                  fmt::format("advertised.listeners: {} needs a host that clients can connect to", text.name));
    }
    it->advertised = std::move(text.endpoint);
  }
  return result;
}

}  // namespace weir::broker
