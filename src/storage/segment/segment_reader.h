// Finds batches in segment files: by offset for fetches, by timestamp for ListOffsets. Blocking calls, from any thread.
//
// Descriptors, indexes and the positions of sequential readers are cached, each within a bound. Reads check headers and indexes
// on the way. A chain of headers that goes wrong is kCorrupt; a damaged index is rebuilt by a scan.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/file.h"
#include "storage/segment/checkpoint_plan.h"
#include "storage/segment/header_scanner.h"
#include "storage/segment/log_directories.h"
#include "storage/segment/lru_cache.h"
#include "storage/segment/segment_data.h"
#include "storage/segment/segment_index.h"

namespace weir::storage {

class SegmentReader {
 public:
  struct Options {
    size_t open_files = 256;
    size_t index_bytes = 8 << 20;
    size_t aborted_bytes = 8 << 20;
    size_t position_hints = 4096;
    // A lookup that had to scan further than this from the nearest index entry rebuilds the index.
    uint64_t rebuild_bytes = 4 << 20;
    IndexSpacing spacing;
  };
  // `directories` outlives the reader.
  SegmentReader(runtime::FileSystem& files, const LogDirectories& directories, Options options);

  // The segment of a read. It holds all that the read needs of the manifest, and is small enough for another thread.
  struct Target {
    PartitionId partition;
    SegmentInfo segment;
    bool active = false;
    std::vector<SegmentInfo> aborted_in = {};  // if the limit asks: from it on, the segments with aborted transactions
  };
  // `number`: of one of the segments.
  static Target target_of(const PartitionManifest& manifest, size_t number, ReadLimit limit);
  Result<SegmentRead> read(const Target& target, int64_t offset, ReadLimit limit);
  Result<SegmentRead> read(const PartitionManifest& manifest, int64_t offset, ReadLimit limit);
  // The same for a reader that goes on where it was, if all of the range is in memory. Never waits for a disk. Returns nothing if
  // the caller must call read(). `number`: of the segment with the offset.
  std::optional<SegmentRead> read_cached(const PartitionManifest& manifest, size_t number, int64_t offset, ReadLimit limit);
  Result<TimestampPosition> find_timestamp(const PartitionManifest& manifest, int64_t timestamp);

  // The segment's files are gone.
  void forget(const PartitionId& partition, const SegmentInfo& segment);

  size_t index_bytes() const { return indexes_.weight() + aborted_.weight(); }
  size_t open_files() const { return open_files_.size(); }
  uint64_t index_rebuilds() const { return index_rebuilds_; }

 private:
  struct SegmentKey {
    PartitionId partition;
    int64_t base_offset = 0;
    uint32_t generation = 0;
    uint32_t directory = 0;
    bool operator==(const SegmentKey&) const = default;
  };
  struct SegmentKeyHash {
    size_t operator()(const SegmentKey& key) const {
      return std::hash<PartitionId>()(key.partition) ^
             (static_cast<size_t>(key.base_offset) * 0xff51afd7ed558ccdull + key.generation);
    }
  };
  // Where the batch with an offset starts, as an earlier read left it.
  struct PositionHint {
    int64_t base_offset = 0;
    uint64_t position = 0;
    uint32_t generation = 0, directory = 0;
    bool is_in(const SegmentInfo& segment) const {
      return base_offset == segment.base_offset && generation == segment.generation && directory == segment.directory;
    }
  };
  struct LoadedIndex {
    SegmentIndex index;
    uint64_t valid_length = 0;  // of the segment when it was loaded
  };
  using File = std::shared_ptr<runtime::File>;
  using Index = std::shared_ptr<const LoadedIndex>;
  struct Segment {
    SegmentKey key;
    const SegmentInfo* info;
    std::string path;
    bool active;
    File file;
  };

  static SegmentKey key_of(const PartitionId& partition, const SegmentInfo& segment) {
    return {partition, segment.base_offset, segment.generation, segment.directory};
  }
  using Aborted = std::shared_ptr<const std::vector<AbortedTransaction>>;
  std::string folder(const SegmentKey& key) const;
  std::string path(const SegmentKey& key, bool index) const;
  Result<Segment> open(const PartitionId& partition, const SegmentInfo& info, bool active);
  Result<Index> index_of(const Segment& segment, uint64_t wanted_position);
  Result<Index> rebuild_index(const Segment& segment);
  // Returns whether the range goes to the end of the segment. Then the index is not needed to find its end.
  static bool ends_with_segment(const Segment& segment, const HeaderScanner::Position& first, ReadLimit limit);
  // Returns where a search begins: at the batch of the index entry that `lookup` finds for `key`, or at the start. Rebuilds an
  // index that does not fit.
  using Lookup = const IndexEntry* (SegmentIndex::*)(int64_t) const;
  Result<uint64_t> position_before(const Segment& segment, Lookup lookup, int64_t key);
  // Returns whether the batch of the entry is where the entry says.
  Result<bool> confirmed(const Segment& segment, const IndexEntry& entry);
  Result<HeaderScanner::Position> locate(const Segment& segment, int64_t offset);
  Result<std::optional<HeaderScanner::Position>> scan_to(const Segment& segment, uint64_t from, int64_t offset);
  Result<SegmentRead> whole_batches(const Segment& segment, const Index& index, const HeaderScanner::Position& first,
                                    ReadLimit limit);
  // Returns false if entries are not in memory, and `load` forbids to read them.
  Result<bool> add_aborted(const PartitionId& partition, std::span<const SegmentInfo> segments, int64_t offset, bool load,
                           SegmentRead& read);
  Result<Aborted> aborted_of(const SegmentKey& key, const SegmentInfo& info);
  // Returns the largest timestamp of the records of all segments. Reads all records of a segment whose times are not known.
  Result<int64_t> largest_timestamp(const PartitionManifest& manifest);
  Result<std::optional<TimestampPosition>> find_timestamp_in(const Segment& segment, int64_t timestamp, int64_t lowest_offset);

  runtime::FileSystem& files_;
  const LogDirectories& directories_;
  const Options options_;
  LruCache<SegmentKey, File, SegmentKeyHash> open_files_;
  LruCache<SegmentKey, Index, SegmentKeyHash> indexes_;
  LruCache<SegmentKey, Aborted, SegmentKeyHash> aborted_;
  LruCache<SegmentKey, PositionHint, SegmentKeyHash> hints_;  // the key's offset is that of the batch
  std::atomic<uint64_t> index_rebuilds_{0};
};

}  // namespace weir::storage
