// The compaction scenario's knowledge of one partition: its producer, and the records that were acknowledged or seen.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "simulation/oracle.h"
#include "storage/types.h"
#include "testing/seeded_random.h"

namespace weir::simulation {

struct KeyedRecord {
  std::string key;
  bool tombstone = false;
  uint64_t payload = 0;  // hash of key, value and a number of its own
  bool operator==(const KeyedRecord&) const = default;
};
using KeyedRecords = std::map<int64_t, KeyedRecord>;  // by offset

class KeyedLog {
 public:
  KeyedLog(storage::PartitionId id, int64_t producer_id) : id_(id), producer_id_(producer_id) {}

  const storage::PartitionId& id() const { return id_; }

  // The batch to send: the one that got no answer, or a new one.
  const std::vector<uint8_t>& next(testing::SeededRandom& random, Oracle& oracle, int64_t now_ms);
  bool has_pending() const { return pending_; }
  // The batch that was acknowledged last, to be sent again. Empty if there is none.
  const std::vector<uint8_t>& last() const { return last_bytes_; }
  void acked(int64_t base_offset, Oracle& oracle, int64_t now_ms);
  void repeat_acked(int64_t base_offset, Oracle& oracle) const;

  void seen(const KeyedRecords& records, Oracle& oracle, int64_t now_ms);
  // `found`: all records from the start of the log to the high watermark.
  void judge(const KeyedRecords& found, int64_t now_ms, int64_t delete_retention_ms, Oracle& oracle) const;

  // Adds the records of the batches in `bytes`. False, with the reason in `problem`, if they are no valid batches.
  static bool collect(Bytes bytes, KeyedRecords& records, int64_t& next_offset, std::string& problem);

 private:
  struct Newest {
    int64_t offset = -1;
    KeyedRecord record;
    int64_t known_since_ms = 0;
  };
  void know(int64_t offset, const KeyedRecord& record, int64_t now_ms);

  storage::PartitionId id_;
  int64_t producer_id_;
  int32_t sequence_ = 0;
  uint64_t number_ = 0;
  bool pending_ = false;
  std::vector<KeyedRecord> batch_;
  std::vector<uint8_t> bytes_, last_bytes_;
  int32_t last_sequence_ = -1;
  std::map<std::string, Newest> newest_;
};

}  // namespace weir::simulation
