// Finds a partition on its shard, at the begin of an operation.
#pragma once

#include "broker/broker.h"
#include "protocol/errors.h"

namespace weir::broker {

// Returns nullptr, with the reason, if it is gone or offline.
inline storage::Partition* serving_partition(BrokerShard& owner, const storage::PartitionId& id, protocol::ErrorCode& error) {
  storage::Partition* partition = owner.log.find(id);
  if (partition == nullptr) error = protocol::ErrorCode::kUnknownTopicOrPartition;
  else if (partition->offline()) error = protocol::ErrorCode::kKafkaStorageError;
  else return partition;
  return nullptr;
}

// Whether the client knows the current leader epoch (KIP-320). -1: it names none.
inline protocol::ErrorCode leader_epoch_error(const storage::Partition& partition, int32_t client_epoch) {
  if (client_epoch >= 0 && client_epoch < partition.leader_epoch()) return protocol::ErrorCode::kFencedLeaderEpoch;
  return client_epoch > partition.leader_epoch() ? protocol::ErrorCode::kUnknownLeaderEpoch : protocol::ErrorCode::kNone;
}

}  // namespace weir::broker
