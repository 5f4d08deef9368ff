// The broker's configuration keys: Kafka's names, types, defaults and bounds, the meaning of each here, and our own keys
// (weir.*). One row a key. Nothing about a key is said anywhere else.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::broker {

enum class ConfigType : uint8_t { kBoolean, kShort, kInt, kLong, kDouble, kString, kList, kPassword, kClass };

enum class ConfigSupport : uint8_t {
  kWorks,
  kNoEffect,  // accepted: it tunes a part of Kafka that Weir does not have; clients notice no difference
  kRefused,   // refused if set to anything but its default: it promises something that Weir does not do (yet)
};

// The source of a value, as in DescribeConfigs.
enum class ConfigSource : int8_t {
  kUnknown = 0,
  kTopic = 1,
  kDynamicBroker = 2,
  kDynamicDefaultBroker = 3,
  kStaticBroker = 4,
  kDefault = 5,
  kBrokerLogger = 6,
  kClientMetrics = 7,
  kGroup = 8,
};

struct ConfigKey {
  static constexpr int64_t kNoMin = std::numeric_limits<int64_t>::min();
  static constexpr int64_t kNoMax = std::numeric_limits<int64_t>::max();

  const char* name;
  ConfigType type;
  const char* default_value;  // nullptr: null. Lists as comma-separated text.
  ConfigSupport support;
  const char* doc;  // what it does, or why it has no effect or is refused
  int64_t min = kNoMin;
  int64_t max = kNoMax;
  const char* choices = nullptr;    // "a|b|c"; of a list: each element
  bool minus_one = false;           // -1 stands for no limit, or the codec's own choice, besides min..max
  bool throttled_replicas = false;  // a list of partition:broker, or * alone
  // May be altered while the broker runs, and acts at once. A key without effect is kept and described, as tools expect.
  bool dynamic = false;
  // The value in force, whatever the default or a file say: of a key without effect that states a fact about the broker.
  const char* holds = nullptr;
  bool internal = false;  // Kafka describes it only where it is set
};

// All keys, sorted by name.
std::span<const ConfigKey> broker_config_keys();
const ConfigKey* find_broker_config_key(std::string_view name);

// Checks a value against type, bounds and choices. The error names the key and a right value.
Result<void> check_config_value(const ConfigKey& key, std::string_view value);

// Whether earlier versions of Kafka had the key, with ZooKeeper or old message formats, and Kafka 4 does not.
bool is_former_kafka_key(std::string_view name);

// The present name of a key of earlier builds of Weir; empty if it is none.
std::string_view renamed_own_key(std::string_view name);

// The known key closest to `name`, or an empty one if none is near.
std::string_view nearest_broker_key(std::string_view name);

// As Kafka does with every value before it looks at it.
std::string_view trimmed_config_value(std::string_view value);
// The parsed value as text, as Kafka describes it: `+05 ` is 5, `TRUE` is true, `a , b` is a,b.
std::string described_config_value(const ConfigKey& key, std::string_view value);

// Parsers for values that were checked.
int64_t parse_config_integer(std::string_view value);
double parse_config_double(std::string_view value);
bool parse_config_boolean(std::string_view value);
std::string_view config_type_name(ConfigType type);
std::vector<std::string> config_list_elements(std::string_view list);  // without empty ones

// Parts of the table; see broker_config_keys().
std::span<const ConfigKey> log_config_keys();
std::span<const ConfigKey> network_config_keys();
std::span<const ConfigKey> group_config_keys();
std::span<const ConfigKey> security_config_keys();
std::span<const ConfigKey> cluster_config_keys();
std::span<const ConfigKey> own_config_keys();
std::span<const ConfigKey> internal_config_keys();

}  // namespace weir::broker
