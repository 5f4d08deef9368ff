#include "apps/listener_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/ascii_case.h"

namespace weir::apps {

namespace {

std::vector<std::string> names_of_controllers(const broker::BrokerConfig& config) {
  auto names = broker::config_list_elements(config.text("controller.listener.names"));
  for (std::string& name : names) name = upper_case(name);
  return names;
}

// A controller's listener needs no protocol, for it is not opened. Kafka's default for those that the map does not name.
Result<std::vector<broker::ListenerInfo>> all_listeners(const broker::BrokerConfig& config) {
  std::string protocols;
  for (const std::string& name : names_of_controllers(config)) protocols += name + ":PLAINTEXT,";
  protocols += config.text("listener.security.protocol.map");  // what it says stands later, and holds
  return broker::combine_listeners(config.text("listeners"), config.text("advertised.listeners"), protocols);
}

bool is_of_controllers(const broker::BrokerConfig& config, const broker::ListenerInfo& listener) {
  const auto names = names_of_controllers(config);
  return std::ranges::find(names, listener.name) != names.end();
}

}  // namespace

Result<std::vector<broker::ListenerInfo>> client_listeners(const broker::BrokerConfig& config) {
  auto listeners = all_listeners(config);
  if (!listeners) return listeners;
  std::erase_if(*listeners, [&](const auto& listener) { return is_of_controllers(config, listener); });
  if (listeners->empty()) return fail(ErrorCode::kInvalid, "listeners: there is none for clients");
  for (const broker::ListenerInfo& listener : *listeners) {
    if (listener.security_protocol != "PLAINTEXT") {
      return fail(ErrorCode::kUnsupported,
                  fmt::format("listener {}: {} is not available in this version", listener.name, listener.security_protocol));
    }
  }
  return listeners;
}

std::vector<std::string> controller_listeners(const broker::BrokerConfig& config) {
  std::vector<std::string> names;
  if (const auto listeners = all_listeners(config)) {
    for (const broker::ListenerInfo& listener : *listeners) {
      if (is_of_controllers(config, listener)) names.push_back(listener.name);
    }
  }
  return names;
}

Result<std::optional<runtime::Endpoint>> http_listener(const broker::BrokerConfig& config) {
  const std::string_view text = config.text("http.listener");
  if (text.empty() || text == "off") return std::nullopt;
  auto endpoint = broker::parse_endpoint(text);
  if (!endpoint) return fail(endpoint.error().code, "http.listener: " + endpoint.error().message);
  return std::move(*endpoint);
}

}  // namespace weir::apps
