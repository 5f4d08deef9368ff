// Looks at the records of a segment whose times are what batch headers said (SegmentInfo::times_known). If all headers told
// the truth, only the segment's row gets better; otherwise the segment is written anew with headers that do, so that
// look-ups, consumers and compaction read the truth from then on. Why: docs/decisions/0010-times-come-from-records.md.
//
// step until it says that all is done; after an error what was written is worthless. Blocking, one thread at a time.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "storage/compaction/segment_batches.h"
#include "storage/segment/rewritten_segment.h"
#include "storage/segment/segment_store.h"

namespace weir::storage {

class SegmentTimeCheck {
 public:
  SegmentTimeCheck(SegmentStore& store, PartitionId partition, SegmentInfo segment, int64_t now_ms)
      : store_(store), partition_(partition), segment_(segment), result_(segment), now_ms_(now_ms) {}

  // Works on about `bytes_max`.
  Result<bool> step(uint64_t bytes_max);
  uint64_t worked_bytes() const { return worked_; }  // read and written
  uint64_t mended_batches() const { return mended_; }
  uint64_t unreadable_batches() const { return unreadable_; }
  // What takes the segment's place: itself with another row, or its successor (incomplete before the end).
  const SegmentInfo& result() const { return result_; }

 private:
  Result<void> open();
  Result<void> rewrite();
  Result<void> take(Bytes batch);
  Result<bool> finish();

  SegmentStore& store_;
  const PartitionId partition_;
  const SegmentInfo segment_;
  SegmentInfo result_;
  const int64_t now_ms_;
  std::unique_ptr<SegmentBatches> source_;
  std::unique_ptr<RewrittenSegment> output_;  // once some header lied
  std::vector<uint8_t> mended_batch_;
  bool has_records_ = false, has_batches_ = false;
  int64_t max_timestamp_ = kNoTimestamp, first_timestamp_ = kNoTimestamp, max_of_empty_ = kNoTimestamp;
  uint64_t worked_ = 0;
  uint64_t mended_ = 0;
  uint64_t unreadable_ = 0;
};

}  // namespace weir::storage
