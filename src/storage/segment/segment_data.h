// The bytes of segments: reading them for fetches and look-ups, and the passes over whole segments that compaction and checks
// make. Which segments there are is the manifest's affair (manifest_store.h).
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <variant>
#include <vector>

#include "base/buffer.h"
#include "base/function.h"
#include "base/result.h"
#include "runtime/file.h"
#include "runtime/loop.h"
#include "storage/segment/manifest.h"

namespace weir::storage {

// A range of a file whose pages were brought in, to be sent from there.
struct FileRange {
  std::shared_ptr<runtime::File> file;
  uint64_t offset = 0;
  uint64_t length = 0;
};

// Whole batches, in memory or in a file.
using StoredBytes = std::variant<Slice, FileRange>;
inline uint64_t size_of(const StoredBytes& bytes) {
  const Slice* const slice = std::get_if<Slice>(&bytes);
  return slice ? slice->size : std::get<FileRange>(bytes).length;
}

// What a read returns at most: whole batches of so many bytes, at least one, all of which end at or below an offset. Between that
// and the end of the segments may be what the reader must not see, such as records of open transactions.
struct ReadLimit {
  uint32_t bytes = 0;
  int64_t end_offset = std::numeric_limits<int64_t>::max();
  bool with_aborted = false;  // SegmentRead::aborted is wanted, for readers of committed records
  ReadLimit(uint32_t max_bytes, int64_t end = std::numeric_limits<int64_t>::max(), bool aborted = false)
      : bytes(max_bytes), end_offset(end), with_aborted(aborted) {}
};

struct SegmentRead {
  StoredBytes bytes;         // whole batches, from the one that contains the asked offset; empty if that one is beyond the limit
  int64_t first_offset = 0;  // base offset of the first batch in them
  int64_t next_offset = 0;   // after the last one
  // If they were asked for: transactions whose marker is at or above the asked offset, and that began below next_offset, as far
  // as their markers are in the segments. By marker.
  std::vector<AbortedTransaction> aborted = {};
};

struct TimestampPosition {
  int64_t offset = -1;  // -1: no record with such a timestamp
  int64_t timestamp = kNoTimestamp;
  int32_t leader_epoch = -1;
};

// The bytes of one segment, for a pass over all of it. Blocking, one thread at a time.
class SegmentSource {
 public:
  virtual ~SegmentSource() = default;
  // Fewer than asked for only at the end of what is there. `into` is aligned as Buffer::allocate aligns, and so is `offset`.
  virtual Result<size_t> read_at(uint64_t offset, MutableBytes into) = 0;
};

// A segment in the making, which is no part of the log before a manifest names it. append, append, ..., finish; after an error or
// without finish what was written is worthless. Blocking, one thread at a time.
class SegmentSink {
 public:
  virtual ~SegmentSink() = default;
  // `batch`: all bytes of a batch above those before it.
  virtual Result<void> append(Bytes batch) = 0;
  // The aborted transactions that belong into it, in the order of their markers; before, between or after its batches.
  virtual void add_aborted(const AbortedTransaction& entry) = 0;
  // Makes all of it durable. The segment's name may not be before ManifestStore::replace.
  virtual Result<SegmentInfo> finish() = 0;
  // So far; length 0: nothing was appended.
  virtual const SegmentInfo& info() const = 0;
};

class SegmentData {
 public:
  virtual ~SegmentData() = default;

  // Asynchronous calls complete on `reply_to`, in any order.
  // Finds and brings into memory whole batches from the one that contains `offset` on, within `limit`; stays within one segment.
  // `manifest` is the caller's current one; what is needed of it is copied.
  virtual void read(const PartitionManifest& manifest, int64_t offset, ReadLimit limit, runtime::Executor& reply_to,
                    Function<void(Result<SegmentRead>)> done) = 0;

  // First record with timestamp >= `timestamp` in the segments of `manifest`, which need not be all (batches of compressed topics
  // are decompressed); kLargestTimestamp asks for the first one with the largest.
  static constexpr int64_t kLargestTimestamp = -3;
  virtual void find_timestamp(PartitionManifest manifest, int64_t timestamp, runtime::Executor& reply_to,
                              Function<void(Result<TimestampPosition>)> done) = 0;

  // These block, on any thread of the pool.
  virtual Result<std::unique_ptr<SegmentSource>> open_segment(const PartitionId& partition, const SegmentInfo& segment) = 0;
  // Those whose markers the segment holds, by marker.
  virtual Result<std::vector<AbortedTransaction>> aborted_transactions(const PartitionId& partition,
                                                                       const SegmentInfo& segment) = 0;
  // `generation`: as ManifestStore::begin_rewrite reserved it.
  virtual Result<std::unique_ptr<SegmentSink>> create_segment(const PartitionId& partition, int64_t base_offset,
                                                              uint32_t generation) = 0;

  virtual size_t index_bytes() const { return 0; }  // memory of the indexes of segments; thread-safe
};

}  // namespace weir::storage
