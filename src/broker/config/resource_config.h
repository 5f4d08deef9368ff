// The configs of groups (KIP-848 and later) and of client metrics subscriptions (KIP-714): names, defaults, bounds. Their
// overrides are stored as text like those of topics.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "broker/config/topic_config.h"

namespace re2 {
class RE2;
}

namespace weir::broker {

// Sorted by name. A group's config takes its default from the broker's group.* key.
std::span<const ResourceConfigKey> group_resource_keys();
std::span<const ResourceConfigKey> client_metrics_keys();
const ResourceConfigKey* find_resource_key(std::span<const ResourceConfigKey> keys, std::string_view name);

// The errors are written for the client. Those of share and streams groups are kept, too, though this broker does not serve these
// yet. Classic groups do not use any, as in Kafka.
Result<void> check_group_configs(const ConfigOverrides& overrides, const BrokerConfig& broker);
// Checks the broker's own keys of groups against each other, as Kafka does when it starts.
Result<void> check_group_settings(const BrokerConfig& broker);
Result<void> check_client_metrics_configs(const ConfigOverrides& overrides);

// One element of `match`: a property of a client, and a regular expression for all of its text.
enum class ClientParameter : uint8_t { kInstanceId, kClientId, kSoftwareName, kSoftwareVersion, kSourceAddress, kSourcePort };
struct ClientMatch {
  ClientParameter parameter{};
  std::shared_ptr<const re2::RE2> pattern;
};
std::optional<ClientMatch> parse_client_match(std::string_view text);
bool matches(const ClientMatch& match, std::string_view value);

EffectiveConfig effective_resource_config(const ResourceConfigKey& key, const ConfigOverrides& overrides,
                                          const BrokerConfig& broker, ConfigSource own);

}  // namespace weir::broker
