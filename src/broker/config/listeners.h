// The addresses of the broker, and the texts of `listeners` and `advertised.listeners`: NAME://host:port, comma-separated.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/loop.h"

namespace weir::broker {

// An address that the broker listens on. `advertised` is empty if it was not configured and the listener is bound to all
// interfaces. Clients are then told the address that they connected to.
struct ListenerInfo {
  std::string name;               // e.g. PLAINTEXT
  std::string security_protocol;  // PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL
  runtime::Endpoint bound;
  std::optional<runtime::Endpoint> advertised;

  // Whether its clients authenticate before any other answer.
  bool asks_who() const { return security_protocol.starts_with("SASL_"); }
};

struct ListenerText {
  std::string name;  // upper case
  runtime::Endpoint endpoint;
};

// The host may be a name, an IPv4 address, or an IPv6 address in brackets. Without one, or with 0.0.0.0 or [::], it is empty:
// all interfaces, IPv6 and IPv4.
Result<std::vector<ListenerText>> parse_listeners(std::string_view text);
// host:port, for addresses without a name.
Result<runtime::Endpoint> parse_endpoint(std::string_view text);

// The other way: host:port, an IPv6 address in brackets.
std::string endpoint_text(const runtime::Endpoint& endpoint);

// Puts both together by name. `protocol_map` is listener.security.protocol.map. A listener on one address advertises that
// address. One on all interfaces, with nothing advertised, tells clients the address that they connected to. Port 0 in an
// advertised listener stands for the real port.
Result<std::vector<ListenerInfo>> combine_listeners(std::string_view listeners, std::string_view advertised,
                                                    std::string_view protocol_map);

}  // namespace weir::broker
