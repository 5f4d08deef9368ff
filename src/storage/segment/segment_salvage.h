// Finds the intact batches of a damaged segment file, for `weir log salvage`. Pure.
//
// Checksums tell batches apart, because the chain of their lengths may be broken. No checksum covers a batch's base offset,
// length and magic. If only these are damaged, they follow from the neighbours, and the batch is mended. The leader epoch has no
// checksum either. It follows from the partition's history, and is mended as well.
//
// A batch does not say to which partition it belongs. If a file begins otherwise than its segment, it is another file, and none
// of its batches is taken.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "storage/types.h"

namespace weir::storage {

struct OffsetRange {
  int64_t first = 0;
  int64_t next = 0;  // after the last one
  bool operator==(const OffsetRange&) const = default;
};

struct SegmentSalvage {
  std::vector<Bytes> batches;     // intact ones in ascending order, in the file's memory
  std::vector<OffsetRange> lost;  // cannot be read; compaction may have taken some of these offsets before
  uint64_t mended = 0;            // batches among the intact ones
  uint64_t damaged_bytes = 0;     // outside of all batches
  std::string foreign;            // why the file is another one; empty if it is not
};

inline constexpr int64_t kUnknownOffset = INT64_MAX;

// The segment that the file should be, as far as it is known.
struct ExpectedSegment {
  int64_t base_offset = 0;
  int64_t next_offset = kUnknownOffset;         // after its last batch
  bool contiguous = false;                      // compaction never took anything of it
  std::optional<int64_t> first_timestamp = {};  // max timestamp of its first batch
  std::span<const EpochStart> epochs = {};      // of its partition; empty if they are not known
};

// `file`: the valid bytes of the segment. Mended batches are changed in place.
SegmentSalvage salvage_segment(MutableBytes file, const ExpectedSegment& expected);

}  // namespace weir::storage
