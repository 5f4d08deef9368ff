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
//  - Control batches stay as they are. Transactions: the records of aborted ones replace no value, for their keys are in
//    no map (PartitionCleaning); they are to be dropped, and a marker once all records of its transaction are gone and its
//    horizon passed. Both are questions to a batch's header before its records are looked at, in clean().
//
// One thread at a time. A batch that decompresses to more than kWholeBytesMax is opened through a window, once for each look at
// it, and compressed as its records come: memory is bounded by its largest record and by what is written.
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
  static constexpr uint64_t kWholeBytesMax = uint64_t{1} << 20;
  static constexpr uint64_t kCodecBytesMax = uint64_t{128} << 20;  // whatever a log may have: a broker with more memory took it

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
  // Checks the batch and its records, which each_record can then be asked for.
  Result<void> open(Bytes batch, BatchHeader& header);
  void open_window(const BatchHeader& header, Bytes batch);
  // Until `visit` returns false.
  template <typename Visit>
  void each_record(const BatchHeader& header, Bytes batch, Visit visit);
  bool keeps(const BatchHeader& header, const protocol::Record& record);
  bool stays_when_empty(const BatchHeader& header) const;
  void write(const BatchHeader& header, Bytes batch, int64_t delete_horizon_ms);
  void write_empty(const BatchHeader& header);

  const RetentionRules rules_;
  Totals totals_;
  protocol::Decompressor decompressor_;
  std::vector<uint8_t> unpacked_, window_, records_, out_;
  bool whole_ = false;  // unpacked_ holds all records of the compressed batch that was opened
  // Of the batch that is being cleaned.
  struct Kept {
    std::vector<bool> records;
    int32_t count = 0;
    int64_t first_timestamp = 0;
    int64_t lowest_timestamp = 0;
    int64_t highest_timestamp = 0;
    void add(bool keep, int64_t timestamp);
  };
  Kept kept_;
};

}  // namespace weir::storage
