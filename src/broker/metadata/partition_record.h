// `/partitions/<topic id>/<index>`: the leader of a partition and its replicas. A partition without an entry has the folder's
// broker as its leader and only replica, in epoch 0 as of its topic's creation. On one machine no partition has an entry.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "storage/types.h"

namespace weir::broker {

struct PartitionRecord {
  static constexpr std::string_view kPrefix = "/partitions/";
  static constexpr int32_t kNoLeader = -1;

  storage::PartitionId id;     // in the key
  int32_t leader = kNoLeader;  // broker id
  int32_t leader_epoch = 0;    // as of `broker_epoch`; it grows with the leader's epoch
  int32_t broker_epoch = 0;    // the leader's when this was written
  std::vector<int32_t> replicas;

  bool operator==(const PartitionRecord&) const = default;
  std::string key() const { return prefix_of(id.topic) + std::to_string(id.index); }
  std::string encode() const;
  // Of the entries of all partitions of a topic.
  static std::string prefix_of(const TopicId& topic) { return std::string(kPrefix) + topic.to_string() + "/"; }
  static Result<PartitionRecord> decode(std::string_view key, std::string_view value);
};

}  // namespace weir::broker
