// `/partitions/<topic id>/<index>`: who leads a partition and who has replicas of it. A partition without an entry is led by the
// broker of the folder, its only replica, in epoch 0 as of its topic's creation; on one machine there is none.
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
  int32_t leader_epoch = 0;    // as of `broker_epoch`; one more for each that the leader's has grown by since
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
