// The broker's configuration. Its layers, lowest first: defaults, a properties file and single settings (both static),
// alterations for all brokers and for this one (both dynamic). Values are checked when they are set, so reading one cannot fail.
// The static configuration is constant after start. A dynamic change makes a new object, which reaches the shards with the
// metadata image.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "broker/config/config_key.h"

namespace weir::broker {

// Values by Kafka's names: overrides of one topic, group, broker...
using ConfigOverrides = std::map<std::string, std::string, std::less<>>;

// One place where a value was found.
struct ConfigSynonymValue {
  std::string_view name;
  std::optional<std::string_view> value;  // none: sensitive
  ConfigSource source = ConfigSource::kDefault;
};

class BrokerConfig {
 public:
  // Text of a properties file; `source` names it in errors. The error tells every wrong line. The other lines count.
  Result<void> add_file(std::string_view text, std::string_view source);
  // key=value
  Result<void> add_setting(std::string_view assignment);
  Result<void> set(std::string_view key, std::string_view value);

  // The dynamic layers, in the place of the former ones. Checked with check_dynamic_configs before.
  void set_dynamic(ConfigOverrides of_broker, ConfigOverrides of_all_brokers);

  bool is_set(std::string_view key) const;  // in any layer
  // The value as text: set, or the default; an empty text for null. `key` exists.
  std::string_view text(std::string_view key) const;
  bool is_null(std::string_view key) const;
  // The true value, for questions about the broker: the value set, or the one in force in its place. None for null.
  std::optional<std::string> described(const ConfigKey& key) const;
  int64_t integer(std::string_view key) const { return parse_config_integer(text(key)); }
  bool boolean(std::string_view key) const { return parse_config_boolean(text(key)); }

  ConfigSource source(std::string_view key) const;

  // The static settings, by name.
  const ConfigOverrides& values() const { return values_; }
  const ConfigOverrides& dynamic_of_all_brokers() const { return dynamic_of_all_; }
  // The places of a value of `key`, in order: its own layers, and those of keys with the same meaning in other units, as Kafka's
  // DescribeConfigs lists them. Empty if only keys of other units have a value.
  std::vector<ConfigSynonymValue> synonyms(std::string_view key) const;
  // Keys that were set but have no effect here, for the log. `asks`: somebody expects something of the value. It differs from the
  // one that holds here or, for a key without one, from Kafka's default.
  struct WithoutEffect {
    const ConfigKey* key;
    bool asks;
  };
  std::vector<WithoutEffect> without_effect() const;
  int32_t node_id() const;

 private:
  // The value in the highest layer that has one.
  const std::string* find(std::string_view key, ConfigSource& source) const;

  ConfigOverrides values_;
  ConfigOverrides dynamic_of_broker_;
  ConfigOverrides dynamic_of_all_;
};

// Checks dynamic configs of a broker, or of all brokers. The error is written for the client.
Result<void> check_dynamic_configs(const ConfigOverrides& overrides);
// log.roll.ms: {log.roll.ms, log.roll.hours}; for most keys just themselves.
std::vector<std::string_view> broker_key_synonyms(std::string_view key);

}  // namespace weir::broker
