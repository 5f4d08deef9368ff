// Reads the records of a segment whose times come from batch headers (SegmentInfo::times_known). If all headers are right, only
// the segment's row changes. Otherwise the segment is written anew with right headers, for look-ups, consumers and compaction. A
// full disk or damage may prevent that. Then retention learns at least how old the segment is. Why:
// docs/decisions/0010-times-come-from-records.md.
//
// Call step() until it returns true. After an error the written files are worthless. Blocking, one thread at a time.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "storage/compaction/segment_batches.h"
#include "storage/segment/segment_store.h"

namespace weir::storage {

class SegmentTimeCheck {
 public:
  // Without `may_write` the check writes nothing.
  SegmentTimeCheck(SegmentStore& store, PartitionId partition, SegmentInfo segment, int64_t now_ms, bool may_write)
      : store_(store),
        partition_(partition),
        segment_(segment),
        result_(segment),
        unreadable_ms_(segment.modified_ms > 0 ? segment.modified_ms : now_ms),
        may_write_(may_write) {}

  // Works on about `bytes_max`. Returns true once all is done.
  Result<bool> step(uint64_t bytes_max);
  uint64_t worked_bytes() const { return worked_; }  // read and written
  uint64_t mended_batches() const { return mended_; }
  uint64_t unreadable_batches() const { return unreadable_; }
  // Returns the row that takes the segment's place: of the same file, or of its successor. It is incomplete before the end.
  const SegmentInfo& result() const { return result_; }
  // Returns the row of a segment whose check fails for good, with its age as far as that is known.
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
  // Records that cannot be read are as old as the segment's last append. Earlier versions did not note the time of that append,
  // so records in their segments are as old as the first check. (They did not look into compressed records before an append.)
  const int64_t unreadable_ms_;
  const bool may_write_;
  bool lies_ = false;  // wrong headers stay
  std::unique_ptr<SegmentBatches> source_;
  std::unique_ptr<SegmentSink> output_;  // once a header was wrong
  std::vector<uint8_t> mended_batch_;
  bool has_records_ = false, has_batches_ = false;
  int64_t max_timestamp_ = kNoTimestamp, first_timestamp_ = kNoTimestamp, max_of_empty_ = kNoTimestamp;
  uint64_t worked_ = 0;
  uint64_t mended_ = 0;
  uint64_t unreadable_ = 0;
};

}  // namespace weir::storage
