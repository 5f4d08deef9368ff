// Records of `__consumer_offsets` in Kafka's formats. An int16 in front of the key is the record's type, one in front of the
// value is its version.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/uuid.h"
#include "coordination/group/consumer/consumer_records.h"
#include "coordination/runtime/effects.h"

namespace weir::coordination {

struct CommittedOffset {
  int64_t offset = -1;
  int32_t leader_epoch = -1;
  std::string metadata;
  int64_t commit_timestamp_ms = -1;
  int64_t expire_timestamp_ms = -1;  // -1: offsets.retention.minutes decides
  Uuid topic_id;                     // zero: committed by a version that did not know it
  // Not in the record: which of the records that were applied it was. Of two offsets the one that is later in the log has the
  // greater.
  int64_t log_order = -1;
  bool operator==(const CommittedOffset&) const = default;
};

// A classic group in the form of its record.
struct GroupMetadata {
  std::string protocol_type;
  int32_t generation = 0;
  std::optional<std::string> protocol_name;
  std::optional<std::string> leader;
  int64_t state_timestamp_ms = -1;
  struct Member {
    std::string id;
    std::optional<std::string> instance_id;
    std::string client_id;
    std::string client_host;
    int32_t rebalance_timeout_ms = 0;
    int32_t session_timeout_ms = 0;
    std::string subscription;
    std::string assignment;
  };
  std::vector<Member> members;  // by id, if the group made it
};

// The content of a record.
struct GroupMetadataEntry {
  std::string group_id;
  using Value = GroupMetadata;
  std::optional<Value> value;  // nothing: the group was deleted
};
struct OffsetEntry {
  std::string group_id;
  std::string topic;
  int32_t partition = 0;
  std::optional<CommittedOffset> value;  // nothing: deleted
};
struct UnknownEntry {
  int16_t type = -1;
};
using GroupRecord =
    std::variant<GroupMetadataEntry, OffsetEntry, ConsumerGroupEntry, ConsumerPartitionMetadataEntry, ConsumerMemberEntry,
                 TargetAssignmentEntry, TargetAssignmentMemberEntry, CurrentAssignmentEntry, ResolvedRegexEntry, UnknownEntry>;

// The records of a known type.
CoordinatorRecord encode(const GroupRecord& record);
// kCorrupt if a record of a known type does not decode.
Result<GroupRecord> parse_group_record(Bytes key, std::optional<Bytes> value);

}  // namespace weir::coordination
