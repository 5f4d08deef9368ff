#include "apps/start_notes.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "apps/listener_settings.h"
#include "base/ascii_case.h"
#include "base/counted.h"
#include "base/log.h"
#include "broker/config/config_key.h"
#include "broker/config/listeners.h"

namespace weir::apps {

std::vector<std::string> ignored_variables(const char* const* environment) {
  constexpr std::string_view kPrefix = "KAFKA_";
  std::vector<std::string> found;
  for (; *environment; ++environment) {
    const std::string_view line = *environment;
    if (!line.starts_with(kPrefix)) continue;
    const std::string_view name = line.substr(0, line.find('='));
    // As the images translate: a dot for an underscore, `_` for two, `-` for three.
    std::string key;
    for (size_t i = kPrefix.size(); i < name.size();) {
      const size_t run = std::min(name.find_first_not_of('_', i), name.size()) - i;
      if (run == 0) {
        key += lower_case(name[i]);
        ++i;
      } else {
        key += run == 1 ? "." : run == 2 ? "_" : "-";
        i += run;
      }
    }
    if (broker::find_broker_config_key(key)) found.push_back(fmt::format("{} ({})", name, key));
  }
  std::sort(found.begin(), found.end());
  return found;
}

void note_ignored_environment() {
  const auto found = ignored_variables(environ);
  if (found.empty()) return;
  log_event(LogLevel::kWarn, "server",
            {.what = fmt::format("Ignored in the environment: {}", fmt::join(found, ", ")),
             .reason = "settings are not taken from variables here",
             .remedy = "Give them by --set KEY=VALUE or in the file of --config"});
}

void note_settings(const broker::BrokerConfig& config) {
  std::string usual;
  size_t count = 0;
  for (const auto& [key, asks] : config.without_effect()) {
    if (asks) {
      log_warn("server", "{} has no effect: {}", key->name, key->doc);
      continue;
    }
    usual += (count++ == 0 ? "" : ", ") + std::string(key->name);
  }
  if (count > 0) {
    log_info("server", "{} no effect here, with the values that hold anyway or are Kafka's defaults: {}",
             counted(count, "setting has", "settings have"), usual);
  }
  for (const std::string& name : controller_listeners(config)) {
    log_info("server", "Listener {} is not opened: there is no controller quorum to serve", name);
  }
}

void note_open_listeners(const std::vector<broker::ListenerInfo>& listeners) {
  for (const broker::ListenerInfo& listener : listeners) {
    const bool wildcard = listener.bound.host == "0.0.0.0" || listener.bound.host == "::";
    if (!wildcard || listener.security_protocol != "PLAINTEXT") continue;
    log_event(LogLevel::kWarn, "server",
              {.what = fmt::format("Listener {}://{} is open to every network of this machine", listener.name,
                                   broker::endpoint_text(listener.bound)),
               .reason = "it neither encrypts nor asks who connects",
               .remedy = fmt::format("Where the network is not trusted, name an address: --listeners {}://127.0.0.1:{}",
                                     listener.name, listener.bound.port)});
  }
}

}  // namespace weir::apps
