// `/topics/<id>`: one topic. Partitions are a count, so a topic of any size is one entry. A topic without this entry does not
// exist. Its data goes if the deletion is noted (deleted_topic_record.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/uuid.h"
#include "broker/config/broker_config.h"

namespace weir::broker {

struct TopicRecord {
  static constexpr std::string_view kPrefix = "/topics/";

  TopicId id;  // in the key
  std::string name;
  int32_t partition_count = 0;
  int32_t creation_epoch = 0;  // broker epoch at creation; leader epochs count from it
  ConfigOverrides configs;

  bool operator==(const TopicRecord&) const = default;
  std::string key() const { return key_of(id); }
  std::string encode() const;
  static std::string key_of(const TopicId& id) { return std::string(kPrefix) + id.to_string(); }
  static Result<TopicRecord> decode(std::string_view key, std::string_view value);
};

}  // namespace weir::broker
