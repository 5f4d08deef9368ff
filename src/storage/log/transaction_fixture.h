// For tests that append batches of transactions without a coordinator of transactions: as if it had agreed.
#pragma once

#include "protocol/record_batch.h"
#include "storage/log/log_shard.h"

namespace weir::storage {

// The options of an append of `records`.
inline AppendOptions as_verified(LogShard& log, Partition& partition, Bytes records, int16_t transaction_version = 0) {
  protocol::BatchHeader header;
  const bool sound = protocol::peek_batch(records, header) == protocol::BatchFault::kNone;
  if (!sound || !header.transactional() || header.control()) return {.transaction_version = transaction_version};
  const Verification verification =
      log.check_producer(partition, {header.producer_id, header.producer_epoch, header.base_sequence, transaction_version});
  if (verification.ask) log.verified(verification.guard, {});
  return {.guard = verification.guard};
}

}  // namespace weir::storage
