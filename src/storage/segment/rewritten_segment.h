// A segment file that compaction writes, batch by batch. It writes unbuffered, so that readers' data stays in the page cache.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"
#include "runtime/file.h"
#include "storage/segment/checkpoint_plan.h"
#include "storage/segment/segment_data.h"
#include "storage/segment/segment_index.h"
#include "storage/segment/stored_batch.h"

namespace weir::storage {

class RewrittenSegment final : public SegmentSink {
 public:
  static constexpr size_t kStagingBytes = 1 << 20;

  struct Paths {
    std::string log;
    std::string index;
    std::string aborted;
    uint32_t directory = 0;  // number of the log directory they are in
  };
  // Creates the file. `created_ms` is both times of the segment's row.
  static Result<std::unique_ptr<RewrittenSegment>> create(runtime::FileSystem& files, Paths paths, int64_t base_offset,
                                                          uint32_t generation, int64_t created_ms, IndexSpacing spacing);

  Result<void> append(Bytes batch) override;
  void add_aborted(const AbortedTransaction& entry) override { aborted_.push_back(entry); }
  // Makes contents and length durable and writes the index. The file's name is not durable yet.
  Result<SegmentInfo> finish() override;
  const SegmentInfo& info() const override { return info_; }

 private:
  RewrittenSegment(runtime::FileSystem& files, Paths paths, IndexSpacing spacing)
      : files_(files), paths_(std::move(paths)), spacing_(spacing) {}
  Result<void> write_staging();

  runtime::FileSystem& files_;
  const Paths paths_;
  const IndexSpacing spacing_;
  std::unique_ptr<runtime::File> direct_, buffered_;
  Buffer staging_;
  size_t staged_ = 0;
  uint64_t written_ = 0;  // a multiple of the alignment until the end
  SegmentInfo info_;
  int64_t max_timestamp_of_empty_ = kNoTimestamp;
  SegmentIndex index_;
  std::vector<AbortedTransaction> aborted_;
  uint64_t last_indexed_ = 0;
  int64_t max_header_timestamp_ = kNoTimestamp;
};

}  // namespace weir::storage
