// The records of consumer groups in Kafka's formats; parts of group_records.h. A record as of an older broker is completed, and
// lists get the order that consumer_records.h promises.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"
#include "coordination/group/group_records.h"
#include "protocol/wire.h"

namespace weir::coordination {

CoordinatorRecord encode(const ConsumerGroupEntry& entry);
CoordinatorRecord encode(const ConsumerPartitionMetadataEntry& entry);  // a tombstone, whatever the entry says
CoordinatorRecord encode(const ConsumerMemberEntry& entry);
CoordinatorRecord encode(const TargetAssignmentEntry& entry);
CoordinatorRecord encode(TargetAssignmentMemberEntry entry);
CoordinatorRecord encode(CurrentAssignmentEntry entry);
CoordinatorRecord encode(const ResolvedRegexEntry& entry);

// `key`: behind the record's type. UnknownEntry if the type is none of consumer groups. kCorrupt if the record does not decode,
// or contradicts itself: a partition below 0, a topic with two lists of partitions.
Result<GroupRecord> parse_consumer_record(int16_t type, protocol::Reader& key, std::optional<Bytes> value);

}  // namespace weir::coordination
