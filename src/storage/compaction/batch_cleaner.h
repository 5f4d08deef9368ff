// Compaction of one record batch: it stays byte for byte, is written again without some of its records, keeps only its header, or
// goes. The rules are Kafka's (Cleaner, MemoryRecords.filterTo of 4.4):
//
//  - A record stays if no newer record of its key is known. Records without a key go. A record above the map stays.
//  - A tombstone (null value) stays until its batch's delete horizon. The first cleaning that meets a tombstone sets the horizon
//    to now + delete.retention.ms: attribute bit 6, base timestamp = horizon, timestamp deltas counted from it. A later cleaning
//    drops tombstones whose horizon has passed. So a reader that is no further behind than that sees every delete.
//  - Offsets, the last offset delta, sequence, epoch and producer never change.
//  - A batch without records left stays as a header if it is the last batch of an active producer (its sequence is known from
//    there when state is rebuilt from the log) or ends at the high watermark. Otherwise it goes.
//  - Records of aborted transactions go at once. They replace no value, because their keys are in no map (PartitionCleaning).
//  - A marker stays until no batch of its transaction is left. The cleaning that finds so sets its delete horizon, as for
//    tombstones, and a cleaning after that drops it. So a reader has seen it if it has seen records of the transaction.
//  - If a producer has no batches, the log knows its epoch from its last marker, whose header stays.
//
// One thread at a time. A batch that decompresses to more than kWholeBytesMax is opened through a window, once for each pass over
// it, and compressed as its records come. So memory is bounded by the batch's largest record and by the bytes that are written.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "protocol/compression.h"
#include "storage/compaction/offset_map.h"
#include "storage/segment/stored_batch.h"

namespace weir::storage {

// What the log knows of each producer that is still known. Nobody needs the header of an older batch of the producer.
struct LastOfProducer {
  int64_t batch = -1;  // last offset of the last batch; -1: the last thing is a marker of its epoch
  int16_t epoch = -1;
};
using ActiveProducers = std::unordered_map<int64_t, LastOfProducer>;  // by producer id

struct RetentionRules {
  const OffsetMap* newest = nullptr;
  const ActiveProducers* active_producers = nullptr;
  int64_t high_watermark = 0;
  int64_t now_ms = 0;
  int64_t delete_retention_ms = 0;
};

enum class BatchFate { kKeep, kRewrite, kDrop };

class BatchCleaner {
 public:
  static constexpr uint64_t kUnpackedMax = uint64_t{256} << 20;
  static constexpr uint64_t kWholeBytesMax = uint64_t{1} << 20;
  static constexpr uint64_t kCodecBytesMax = uint64_t{128} << 20;  // generous: a broker with more memory may have taken the batch

  // Counted over all batches.
  struct Totals {
    uint64_t records_read = 0;
    uint64_t records_kept = 0;
    uint64_t records_without_key = 0;
  };

  explicit BatchCleaner(RetentionRules rules = {}) : rules_(rules) {}

  // `batch` holds exactly one batch. `needless`: it is of an aborted transaction, or the marker of one that no batch is left of.
  // kRewrite: rewritten() takes its place and is valid until the next call. Error kCorrupt: the batch is damaged.
  Result<BatchFate> clean(Bytes batch, bool needless = false);
  Bytes rewritten() const { return out_; }

  // Enters the batch's keys at or above `start_offset` into `map`. False: the map is full and holds only a part of the batch.
  Result<bool> map_keys(Bytes batch, int64_t start_offset, OffsetMap& map);

  const Totals& totals() const { return totals_; }

 private:
  // Checks the batch and its records. each_record() may follow.
  Result<void> open(Bytes batch, BatchHeader& header);
  void open_window(const BatchHeader& header, Bytes batch);
  // Calls `visit` for each record until it returns false.
  template <typename Visit>
  void each_record(const BatchHeader& header, Bytes batch, Visit visit);
  bool keeps(const BatchHeader& header, const protocol::Record& record);
  BatchFate clean_marker(const BatchHeader& header, Bytes batch, bool needless);
  BatchFate empty(const BatchHeader& header);
  bool stays_when_empty(const BatchHeader& header) const;
  int64_t new_horizon() const;
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
