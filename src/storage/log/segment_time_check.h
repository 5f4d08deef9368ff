// Looks at the records of a segment whose times are what batch headers said (SegmentInfo::times_known). If all headers told
// the truth, only the segment's row gets better; otherwise the segment is written anew with headers that do, so that
// look-ups, consumers and compaction read the truth from then on. Where that may not be, because the disk is full, or cannot,
// because of damage, at least retention learns how old the segment is. Why: docs/decisions/0010-times-come-from-records.md.
//
// step until it says that all is done; after an error what was written is worthless. Blocking, one thread at a time.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "storage/compaction/segment_batches.h"
#include "storage/segment/segment_store.h"

namespace weir::storage {

class SegmentTimeCheck {
 public:
  // Without `may_write` nothing is written anew.
  SegmentTimeCheck(SegmentStore& store, PartitionId partition, SegmentInfo segment, int64_t now_ms, bool may_write)
      : store_(store),
        partition_(partition),
        segment_(segment),
        result_(segment),
        unreadable_ms_(segment.modified_ms > 0 ? segment.modified_ms : now_ms),
        may_write_(may_write) {}

  // Works on about `bytes_max`.
  Result<bool> step(uint64_t bytes_max);
  uint64_t worked_bytes() const { return worked_; }  // read and written
  uint64_t mended_batches() const { return mended_; }
  uint64_t unreadable_batches() const { return unreadable_; }
  // What takes the segment's place: itself with another row, or its successor (incomplete before the end).
  const SegmentInfo& result() const { return result_; }
  // After an error that stays: the segment with its age, as far as it is known.
  SegmentInfo aged() const;

 private:
  Result<void> open();
  Result<void> rewrite();
  Result<void> take(Bytes batch);
  Result<bool> finish();

  SegmentStore& store_;
  const PartitionId partition_;
  const SegmentInfo segment_;
  SegmentInfo result_;
  // Records that cannot be read (compressed ones were not looked at before they were appended) are as old as the segment's last
  // append. When that was is not known of segments of earlier versions: then as old as the first look.
  const int64_t unreadable_ms_;
  const bool may_write_;
  bool lies_ = false;  // of headers, that stay
  std::unique_ptr<SegmentBatches> source_;
  std::unique_ptr<SegmentSink> output_;  // once some header lied
  std::vector<uint8_t> mended_batch_;
  bool has_records_ = false, has_batches_ = false;
  int64_t max_timestamp_ = kNoTimestamp, first_timestamp_ = kNoTimestamp, max_of_empty_ = kNoTimestamp;
  uint64_t worked_ = 0;
  uint64_t mended_ = 0;
  uint64_t unreadable_ = 0;
};

}  // namespace weir::storage
