// What compaction does to one record batch: keep it byte for byte, write it again without some of its
// records, keep only its header, or drop it. The rules are Kafka's (Cleaner, MemoryRecords.filterTo of 4.4):
//
//  - A record stays if no newer one of its key is known. Records without a key go. A record above the map
//  stays.
//  - A tombstone (null value) stays until its batch's delete horizon. The first cleaning that meets one sets
//  the horizon to
//    now + delete.retention.ms: attribute bit 6, base timestamp = horizon, timestamp deltas counted from it.
//    A later cleaning drops tombstones whose horizon has passed. So readers that are not further behind than
//    that see every delete.
//  - Offsets, the last offset delta, sequence, epoch and producer stay what they were, whatever is taken out.
//  - A batch left without records stays as a header if it is the last of an active producer (its sequence is
//  known from
//    there when state is rebuilt from the log) or ends at the high watermark; otherwise it goes.
//  - Control batches stay as they are. Transactions: the records of aborted ones are to be dropped, and a
//  marker once all
//    records of its transaction are gone and its horizon passed. Both are questions to a batch's header
//    before its records are looked at, in clean(); the log accepts no transactional batches yet.
//
// One thread at a time. Memory is bounded by the limit for unpacked batches.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "protocol/compression.h"
#include "storage/compaction/offset_map.h"
#include "storage/segment/stored_batch.h"

namespace weir::storage {

// The last batch of a producer that is still known; an older batch of it carries nothing that is needed.
using LastOffsets = std::unordered_map<int64_t, int64_t>;  // producer id -> last offset

struct RetentionRules {
  const OffsetMap* newest = nullptr;
  const LastOffsets* active_producers = nullptr;
  int64_t high_watermark = 0;
  int64_t now_ms = 0;
  int64_t delete_retention_ms = 0;
};

enum class BatchFate { kKeep, kRewrite, kDrop };

class BatchCleaner {
 public:
  static constexpr uint64_t kUnpackedMax = uint64_t{256} << 20;

  // Counted over all batches.
  struct Totals {
    uint64_t records_read = 0;
    uint64_t records_kept = 0;
    uint64_t records_without_key = 0;
  };

  explicit BatchCleaner(RetentionRules rules = {}) : rules_(rules) {}

  // `batch` holds exactly one. kRewrite: rewritten() is what takes its place, until the next call. kCorrupt:
  // the batch is damaged.
  Result<BatchFate> clean(Bytes batch);
  Bytes rewritten() const { return out_; }

  // Enters the batch's keys at or above `start_offset` into `map`. False: the map is full and the batch is in
  // it in part.
  Result<bool> map_keys(Bytes batch, int64_t start_offset, OffsetMap& map);

  const Totals& totals() const { return totals_; }

 private:
  // Checks the batch and unpacks its records.
  Result<Bytes> open(Bytes batch, BatchHeader& header);
  bool keeps(const BatchHeader& header, const protocol::Record& record);
  bool stays_when_empty(const BatchHeader& header) const;
  void write(const BatchHeader& header, const std::vector<protocol::Record>& records,
             int64_t delete_horizon_ms);
  void write_empty(const BatchHeader& header);

  const RetentionRules rules_;
  Totals totals_;
  protocol::Decompressor decompressor_;
  std::vector<uint8_t> unpacked_, records_, out_;
  std::vector<protocol::Record> kept_;
};

}  // namespace weir::storage
