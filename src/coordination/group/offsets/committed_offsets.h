// The committed offsets of one coordinator's groups: by group, topic name and partition. Groups and topics without offsets
// are not in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "coordination/group/group_memory.h"
#include "coordination/group/group_records.h"

namespace weir::coordination {

class CommittedOffsets {
 public:
  using Partitions = std::map<int32_t, CommittedOffset>;
  using Topics = std::map<std::string, Partitions, std::less<>>;
  using Groups = std::map<std::string, Topics, std::less<>>;

  explicit CommittedOffsets(GroupMemory& memory) : memory_(memory) {}

  const Groups& groups() const { return groups_; }
  const Topics* topics(std::string_view group_id) const;  // nullptr: it has no offsets
  const CommittedOffset* find(std::string_view group_id, std::string_view topic, int32_t partition) const;
  size_t count() const { return count_; }
  int64_t memory_bytes() const { return memory_.bytes(); }  // estimated

  // True if it is the group's first.
  bool put(const std::string& group_id, const std::string& topic, int32_t partition, CommittedOffset offset);
  void erase(std::string_view group_id, std::string_view topic, int32_t partition);

 private:
  void forget(const CommittedOffset& offset);
  Partitions& partitions_of(const std::string& group_id, const std::string& topic);

  Groups groups_;
  // The place of the last offset. The offsets of a request come by topic, and so do those of a log.
  Groups::value_type* last_group_ = nullptr;
  Topics::value_type* last_topic_ = nullptr;
  size_t count_ = 0;
  MemoryCharge memory_;
};

}  // namespace weir::coordination
