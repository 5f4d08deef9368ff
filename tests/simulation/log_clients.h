// Producers of the log scenario: they make batches and know which of them to send again.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "protocol/record_batch_builder.h"
#include "simulation/oracle.h"
#include "storage/types.h"
#include "testing/seeded_random.h"

namespace weir::simulation {

TopicPartition name_of(const storage::PartitionId& id);

struct OutgoingBatch {
  std::vector<uint64_t> payloads;  // hashes, in offset order
  std::vector<uint8_t> bytes;
  int32_t base_sequence = -1;
};

// A producer id that writes to one partition, one batch at a time. It sends a batch without an answer again, in the next life
// if need be, with the same sequence.
class LogProducer {
 public:
  LogProducer(storage::PartitionId partition, int64_t producer_id) : partition_(partition), producer_id_(producer_id) {}

  const storage::PartitionId& partition() const { return partition_; }
  int64_t producer_id() const { return producer_id_; }
  bool has_pending() const { return pending_; }
  // The batch to send now: the pending one, or a new one.
  const OutgoingBatch& next(testing::SeededRandom& random, Oracle& oracle, int64_t now_ms);
  // The last acknowledged batch, to be sent once more. Its bytes are empty if there is none.
  const OutgoingBatch& last() const { return last_; }
  int64_t last_offset() const { return last_offset_; }
  const OutgoingBatch& pending() const { return batch_; }
  // The pending batch got its offset. `over`: no further answer to it is expected.
  void acked(int64_t base_offset, bool over, Oracle& oracle);

  // A batch without a producer id. It is never sent twice.
  static OutgoingBatch plain(const storage::PartitionId& partition, testing::SeededRandom& random, Oracle& oracle,
                             int64_t now_ms);

 private:
  storage::PartitionId partition_;
  int64_t producer_id_;
  int32_t sequence_ = 0;
  bool pending_ = false;
  OutgoingBatch batch_;
  OutgoingBatch last_;
  int64_t last_offset_ = -1;
};

// Adds the records of the batches in `bytes` by offset. False, with the reason in `problem`, if they are no valid batches.
bool collect_records(Bytes bytes, std::map<int64_t, uint64_t>& records, std::string& problem);

}  // namespace weir::simulation
