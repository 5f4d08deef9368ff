// Records of consumer groups in `__consumer_offsets` (KIP-848). In each, a missing value is a tombstone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/uuid.h"
#include "coordination/group/consumer/topic_partitions.h"
#include "coordination/group/group_messages.h"

namespace weir::coordination {

struct ConsumerGroupEpoch {
  int32_t epoch = 0;
  int64_t metadata_hash = 0;  // of the subscribed topics
  bool operator==(const ConsumerGroupEpoch&) const = default;
};
struct ConsumerGroupEntry {  // type 3
  std::string group_id;
  std::optional<ConsumerGroupEpoch> value;
  bool operator==(const ConsumerGroupEntry&) const = default;
};

// Type 4, of brokers before 4.1. Its value is not read; a coordinator writes tombstones of those that it meets.
struct ConsumerPartitionMetadataEntry {
  std::string group_id;
  bool tombstone = false;
  bool operator==(const ConsumerPartitionMetadataEntry&) const = default;
};

// What a member of the classic protocol told when it joined a consumer group.
struct ClassicMemberMetadata {
  int32_t session_timeout_ms = 0;
  std::vector<GroupProtocol> protocols;  // in the order of preference
  bool operator==(const ClassicMemberMetadata&) const = default;
};
struct ConsumerMemberMetadata {
  std::optional<std::string> instance_id;
  std::optional<std::string> rack_id;
  std::string client_id;
  std::string client_host;
  std::vector<std::string> subscribed_topics;   // ascending
  std::optional<std::string> subscribed_regex;  // nothing, as empty: none
  int32_t rebalance_timeout_ms = -1;
  std::optional<std::string> server_assignor;
  std::optional<ClassicMemberMetadata> classic;
  bool operator==(const ConsumerMemberMetadata&) const = default;
};
struct ConsumerMemberEntry {  // type 5
  std::string group_id;
  std::string member_id;
  std::optional<ConsumerMemberMetadata> value;
  bool operator==(const ConsumerMemberEntry&) const = default;
};

struct TargetAssignmentEpoch {
  int32_t epoch = 0;
  int64_t timestamp_ms = 0;  // of its computation; wall time; 0: unknown, so that the next is computed at once
  bool operator==(const TargetAssignmentEpoch&) const = default;
};
struct TargetAssignmentEntry {  // type 6
  std::string group_id;
  std::optional<TargetAssignmentEpoch> value;
  bool operator==(const TargetAssignmentEntry&) const = default;
};
struct TargetAssignmentMemberEntry {  // type 7
  std::string group_id;
  std::string member_id;
  std::optional<Assignment> value;
  bool operator==(const TargetAssignmentMemberEntry&) const = default;
};

// Partitions that a member has, each with the member's epoch when it got it.
struct OwnedTopicPartitions {
  Uuid topic_id;
  std::vector<int32_t> partitions;         // ascending
  std::vector<int32_t> assignment_epochs;  // as many. Read from an older broker's record without them: the member epoch, or 0
  bool operator==(const OwnedTopicPartitions&) const = default;
};
inline Assignment without_epochs(const std::vector<OwnedTopicPartitions>& topics) {
  Assignment assignment;
  assignment.reserve(topics.size());
  for (const OwnedTopicPartitions& topic : topics) assignment.push_back({topic.topic_id, topic.partitions});
  return assignment;
}
enum class MemberState : int8_t { kStable = 0, kUnrevokedPartitions = 1, kUnreleasedPartitions = 2, kUnknown = 127 };
struct CurrentAssignment {
  int32_t member_epoch = 0;
  int32_t previous_member_epoch = -1;
  MemberState state = MemberState::kStable;
  std::vector<OwnedTopicPartitions> assigned;            // ascending by topic id
  std::vector<OwnedTopicPartitions> pending_revocation;  // likewise
  bool operator==(const CurrentAssignment&) const = default;
};
struct CurrentAssignmentEntry {  // type 8
  std::string group_id;
  std::string member_id;
  std::optional<CurrentAssignment> value;
  bool operator==(const CurrentAssignmentEntry&) const = default;
};

// What an expression matched when it was last looked at.
struct ResolvedRegex {
  std::vector<std::string> topics;  // ascending
  int64_t image_version = 0;
  int64_t timestamp_ms = 0;  // wall time
  bool operator==(const ResolvedRegex&) const = default;
};
struct ResolvedRegexEntry {  // type 16
  std::string group_id;
  std::string regex;
  std::optional<ResolvedRegex> value;
  bool operator==(const ResolvedRegexEntry&) const = default;
};

}  // namespace weir::coordination
