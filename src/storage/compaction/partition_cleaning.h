// One cleaning of one partition. Reads the dirty part of its log into an OffsetMap. Then writes everything below the map's end
// again, without the records that the map shows to be old. Works on the segments as they were at the beginning. Nothing of it is
// visible before the owning shard has the outcome replace them (SegmentStore::replace).
//
// Blocks, in steps of bounded size, so that the caller can slow it down or give it up between two steps. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "storage/compaction/batch_cleaner.h"
#include "storage/compaction/clean_range.h"
#include "storage/compaction/cleaned_transactions.h"
#include "storage/compaction/segment_batches.h"
#include "storage/segment/segment_store.h"

namespace weir::storage {

struct CleaningInput {
  PartitionManifest manifest;
  std::vector<AbortedTransaction> aborted;  // whose markers are in no segment yet
  CleanRange range;
  ActiveProducers active_producers;
  int64_t high_watermark = 0;
  int64_t now_ms = 0;
  int64_t delete_retention_ms = 0;
  uint64_t segment_bytes = 1ull << 30;
  int64_t file_delete_delay_ms = 60'000;
};

struct CleaningStats {
  uint64_t bytes_mapped = 0;
  uint64_t bytes_read = 0;  // while rewriting
  uint64_t bytes_written = 0;
  uint64_t batches_dropped = 0;
  uint64_t keys = 0;
  uint64_t map_bytes = 0;
  BatchCleaner::Totals records;
};

class PartitionCleaning {
 public:
  struct Limits {
    size_t map_bytes = 128 << 20;
    double map_load_factor = 0.9;
    HashSecret secret;
  };
  PartitionCleaning(SegmentStore& store, CleaningInput input, Limits limits);

  struct Step {
    bool done = false;
    uint64_t bytes = 0;  // read and written
  };
  // Works on until it has read and written about `bytes_max`. After an error the caller may only call outcome(), to clean up.
  // kCorrupt: a segment is damaged. kInvalid: the map cannot hold one batch. kNotFound: the partition is gone.
  Result<Step> step(uint64_t bytes_max);

  // After a step with `done`: the replacement to make. Before that: the files written so far, to be discarded.
  const SegmentReplacement& outcome() const { return outcome_; }
  CleaningStats stats() const;

 private:
  Result<void> begin();
  Result<void> find_aborted(uint64_t bytes_max);
  Result<void> map_some(uint64_t bytes_max);
  Result<void> rewrite_some(uint64_t bytes_max);
  Result<void> open_source(const SegmentInfo& segment);
  Result<void> put(Bytes batch);
  Result<void> end_group();
  Result<void> end_output();
  Result<void> map_ended(bool full);

  enum class Stage { kBegin, kFindAborted, kMap, kRewrite, kDone };

  SegmentStore& store_;
  const CleaningInput input_;
  const Limits limits_;
  Stage stage_ = Stage::kBegin;
  uint32_t generation_ = 0;
  OffsetMap map_;
  std::unique_ptr<BatchCleaner> cleaner_;
  CleanedTransactions transactions_;
  std::unique_ptr<SegmentBatches> source_;
  size_t segment_ = 0;  // of the manifest; kRewrite: of the group
  std::vector<std::vector<SegmentInfo>> groups_;
  size_t group_ = 0;
  std::unique_ptr<SegmentSink> output_;
  SegmentReplacement outcome_;
  CleaningStats stats_;
  uint64_t worked_ = 0;  // in this step
};

}  // namespace weir::storage
