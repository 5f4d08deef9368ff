// A partition on the shard that owns it, as operations on it begin.
#pragma once

#include "broker/broker.h"
#include "protocol/errors.h"

namespace weir::broker {

// nullptr, and why, if it is gone or offline.
inline storage::Partition* serving_partition(BrokerShard& owner, const storage::PartitionId& id, protocol::ErrorCode& error) {
  storage::Partition* partition = owner.log.find(id);
  if (partition == nullptr) error = protocol::ErrorCode::kUnknownTopicOrPartition;
  else if (partition->offline()) error = protocol::ErrorCode::kKafkaStorageError;
  else return partition;
  return nullptr;
}

}  // namespace weir::broker
