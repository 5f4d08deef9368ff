// The broker's configuration: defaults, below a properties file, below single settings. Values are checked when they are
// set, so reading one cannot fail. Constant after start; shards read copies of what they need.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "broker/config/config_key.h"

namespace weir::broker {

class BrokerConfig {
 public:
  // Text of a properties file; `source` names it in errors.
  Result<void> add_file(std::string_view text, std::string_view source);
  // key=value
  Result<void> add_setting(std::string_view assignment);
  Result<void> set(std::string_view key, std::string_view value);

  bool is_set(std::string_view key) const { return values_.find(key) != values_.end(); }
  // The value as text: set, or the default; an empty text for null. `key` exists.
  std::string_view text(std::string_view key) const;
  bool is_null(std::string_view key) const;
  int64_t integer(std::string_view key) const { return parse_config_integer(text(key)); }
  bool boolean(std::string_view key) const { return parse_config_boolean(text(key)); }

  // What was set, by name.
  const std::map<std::string, std::string, std::less<>>& values() const { return values_; }
  // Keys that were set but have no effect here, with the reason: for one line of the log each.
  std::vector<const ConfigKey*> without_effect() const;
  int32_t node_id() const;

 private:
  std::map<std::string, std::string, std::less<>> values_;
};

}  // namespace weir::broker
