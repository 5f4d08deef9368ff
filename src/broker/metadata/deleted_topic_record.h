// `/deleted-topics/<id>`: a topic whose deletion is decided and may not have reached all of its data. The transaction that
// deletes the topic writes this note. A start that finds no data of the topic removes it. Data of a topic that has neither this
// note nor a record is a sign of damage.
//
// `/deletions-noted`: every deletion has a note. Folders of earlier versions do not have this entry.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/uuid.h"

namespace weir::broker {

struct DeletedTopicRecord {
  static constexpr std::string_view kPrefix = "/deleted-topics/";

  TopicId id;        // in the key
  std::string name;  // may be empty: not known

  bool operator==(const DeletedTopicRecord&) const = default;
  std::string key() const { return key_of(id); }
  std::string encode() const;
  static std::string key_of(const TopicId& id) { return std::string(kPrefix) + id.to_string(); }
  static Result<DeletedTopicRecord> decode(std::string_view key, std::string_view value);
};

struct DeletionsNotedRecord {
  static constexpr std::string_view kKey = "/deletions-noted";
  static std::string encode();
  static Result<void> decode(std::string_view value);
};

}  // namespace weir::broker
