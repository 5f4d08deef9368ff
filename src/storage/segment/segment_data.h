// Reads the bytes of segments for fetches and look-ups, and offers passes over whole segments to compaction and checks. The
// manifest knows which segments there are (manifest_store.h).
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

// A range of a file that is sent from the page cache. Its pages are in memory.
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

// The bound of a read: whole batches of so many bytes, at least one, which all end at or below an offset. Above that offset may
// be records that the reader must not see, such as records of open transactions.
struct ReadLimit {
  uint32_t bytes = 0;
  int64_t end_offset = std::numeric_limits<int64_t>::max();
  bool with_aborted = false;  // for readers of committed records: SegmentRead::aborted is wanted
  ReadLimit(uint32_t max_bytes, int64_t end = std::numeric_limits<int64_t>::max(), bool aborted = false)
      : bytes(max_bytes), end_offset(end), with_aborted(aborted) {}
};

struct SegmentRead {
  StoredBytes bytes;         // whole batches, from the batch with the offset on; empty if that batch is beyond the limit
  int64_t first_offset = 0;  // base offset of the first batch in them
  int64_t next_offset = 0;   // after the last one
  // If the read asked for them: transactions whose marker is in the segments and at or above the read's offset, and that began
  // below next_offset. In the order of their markers.
  std::vector<AbortedTransaction> aborted = {};
};

struct TimestampPosition {
  int64_t offset = -1;  // -1: no record with such a timestamp
  int64_t timestamp = kNoTimestamp;
  int32_t leader_epoch = -1;
};

// Reads one segment from start to end. Blocking, one thread at a time.
class SegmentSource {
 public:
  virtual ~SegmentSource() = default;
  // Reads less than the size of `into` only at the end of the segment. `into` and `offset` are aligned as Buffer::allocate
  // aligns.
  virtual Result<size_t> read_at(uint64_t offset, MutableBytes into) = 0;
};

// A segment in the making. It is no part of the log before a manifest names it. Call append() for each batch, then finish().
// After an error, or without finish(), its files are worthless. Blocking, one thread at a time.
class SegmentSink {
 public:
  virtual ~SegmentSink() = default;
  // `batch`: all bytes of a batch. Its offsets are above those of the batch before.
  virtual Result<void> append(Bytes batch) = 0;
  // Adds an aborted transaction whose marker is in the segment, in the order of the markers. Before, between or after append().
  virtual void add_aborted(const AbortedTransaction& entry) = 0;
  // Makes the contents durable. The segment's name may become durable with ManifestStore::replace only.
  virtual Result<SegmentInfo> finish() = 0;
  // Describes the segment so far. Its length is 0 if nothing was appended.
  virtual const SegmentInfo& info() const = 0;
};

class SegmentData {
 public:
  virtual ~SegmentData() = default;

  // Asynchronous calls complete on `reply_to`, in any order.

  // Finds whole batches within `limit`, from the batch that contains `offset` on, and brings them into memory. Stays within one
  // segment. `manifest`: the caller's current one. The call copies the parts of it that it needs.
  virtual void read(const PartitionManifest& manifest, int64_t offset, ReadLimit limit, runtime::Executor& reply_to,
                    Function<void(Result<SegmentRead>)> done) = 0;

  // Finds the first record with a timestamp >= `timestamp` in the segments of `manifest`, which may be some of the partition's.
  // kLargestTimestamp asks for the first record with the largest timestamp. Compressed batches are decompressed.
  static constexpr int64_t kLargestTimestamp = -3;
  virtual void find_timestamp(PartitionManifest manifest, int64_t timestamp, runtime::Executor& reply_to,
                              Function<void(Result<TimestampPosition>)> done) = 0;

  // The next three calls block, on any thread of the pool.
  virtual Result<std::unique_ptr<SegmentSource>> open_segment(const PartitionId& partition, const SegmentInfo& segment) = 0;
  // Returns the transactions whose markers the segment holds, in the order of the markers.
  virtual Result<std::vector<AbortedTransaction>> aborted_transactions(const PartitionId& partition,
                                                                       const SegmentInfo& segment) = 0;
  // `generation`: from ManifestStore::begin_rewrite.
  virtual Result<std::unique_ptr<SegmentSink>> create_segment(const PartitionId& partition, int64_t base_offset,
                                                              uint32_t generation) = 0;

  virtual size_t index_bytes() const { return 0; }  // memory of the indexes of segments; thread-safe
};

}  // namespace weir::storage
