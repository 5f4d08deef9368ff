// `/topic-names/<name>`: the id of the topic of that name. It keeps names unique: a creation compares that the entry is absent.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/uuid.h"

namespace weir::broker {

struct TopicNameRecord {
  static constexpr std::string_view kPrefix = "/topic-names/";

  std::string name;  // in the key
  TopicId id;

  bool operator==(const TopicNameRecord&) const = default;
  std::string key() const { return std::string(kPrefix) + name; }
  std::string encode() const;
  static Result<TopicNameRecord> decode(std::string_view key, std::string_view value);
};

}  // namespace weir::broker
